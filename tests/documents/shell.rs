//! A shell in a folder of its own. What a command sets, the next one has.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use tempfile::TempDir;

use crate::support::envoy::Envoy;
use crate::support::root;
use crate::support::sandbox::Sandbox;

/// Variables and functions are kept from one command to the next.
const FRAME: &str = r#"
set -euo pipefail
PATH=$PWD/bin:$PATH
. ./.state
eval "$COMMAND"
{ declare -p TOKEN; declare -f api; } > .state 2>/dev/null || true
"#;

pub(crate) struct Shell {
    folder: TempDir,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let shell = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(shell.path("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_dana-failover"), shell.path("bin/dana-failover")).unwrap();
        symlink(root().join("envoy"), shell.path("envoy")).unwrap();
        shell.write(".state", "");
        // There is no cluster to ask.
        let kubectl = r#"[ "$*" = "get configmap dana -o yaml" ] && cat configmap.json"#;
        shell.write_program("kubectl", kubectl);
        shell
    }

    /// From now on the documents' addresses are those of these.
    pub(crate) fn stand_before(&self, sandbox: &Sandbox, envoy: &Envoy) {
        let notify = envoy.listening("dana_notify").unwrap();
        let mut program =
            "real=$(PATH=${PATH#*:} command -v curl) || { echo 'curl is missing: the documents call it' >&2; exit 127; }\nall=()\nfor word; do\n".to_owned();
        for (port, address) in [
            (10000, &envoy.listener),
            (10001, &envoy.operators),
            (10002, &notify),
            (18080, &sandbox.control),
            (9901, &envoy.admin),
        ] {
            for host in ["localhost", "127.0.0.1"] {
                program.push_str(&format!("word=${{word//{host}:{port}/{address}}}\n"));
            }
        }
        program.push_str("all+=(\"$word\")\ndone\nexec \"$real\" \"${all[@]}\"");
        self.write_program("curl", &program);
    }

    /// Runs a command, which must end well or with what `check` and `reconcile` call findings; what it printed.
    pub(crate) fn run(&self, command: &str) -> String {
        let command = command.replace("/tmp/dana-audit.jsonl", "dana-audit.jsonl");
        let ended = Command::new("bash")
            .args(["-c", FRAME])
            .env("COMMAND", &command)
            .env("USER", "anna")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        // The waits of a test are too short for payments, and one payment is not what an operator said.
        let finds = ["reconcile", "check -"].iter().any(|one| command.contains(one));
        let has_findings = ended.status.code() == Some(1) && finds;
        assert!(ended.status.success() || has_findings, "{command}\n{said}\n{error}");
        said
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write_program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/usr/bin/env bash\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}
