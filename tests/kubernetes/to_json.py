#!/usr/bin/env python3
"""YAML documents on standard input, as a list in JSON."""

import json
import sys

import yaml

json.dump([document for document in yaml.safe_load_all(sys.stdin) if document], sys.stdout)
