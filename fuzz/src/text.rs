//! Requests as people write them: a path, header fields, an empty line, a body.

/// A request in parts, borrowed from its text.
pub(super) struct Asked<'a> {
    pub(super) path: &'a [u8],
    pub(super) fields: Vec<(&'a [u8], &'a [u8])>,
    pub(super) body: &'a [u8],
}

impl<'a> Asked<'a> {
    /// Whatever the bytes are, they are some request.
    pub(super) fn read(data: &'a [u8]) -> Self {
        let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
            Some(at) => (&data[..at], &data[at + 2..]),
            None => (data, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let path = lines.next().unwrap_or_default();
        // Envoy passes on no more.
        let fields = lines.take(100).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = colon.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
            (name, value.trim_ascii())
        });
        Self { path, fields: fields.collect(), body }
    }

    /// As Envoy hands it over.
    pub(super) fn headers<'h>(
        &'h self,
        more: &'h [(&'h str, &'h str)],
    ) -> Vec<(&'h [u8], &'h [u8])> {
        let own = [(&b":method"[..], &b"POST"[..]), (b":path", self.path)];
        let more = more.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let fields = self.fields.iter().map(|(name, value)| (*name, *value));
        own.into_iter().chain(more).chain(fields).collect()
    }
}

/// Whether `needle` stands in `hay`.
pub(super) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}
