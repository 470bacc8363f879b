//! Markup: a page being written, every text on it escaped.

/// Something that a person has to look at.
pub(super) const WARNING: &str = "\u{26a0}\u{fe0e} ";

const STYLE: &str = include_str!("../page.css");

/// A page being written.
pub(super) struct Html(String);

impl Html {
    /// The beginning of a page of this title. One that is read rather than watched is not renewed
    /// under the reader's hands.
    pub(super) fn begin(title: &str, is_renewed: bool) -> Self {
        let mut html = Self(String::with_capacity(16_384));
        html.raw(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width, initial-scale=1\">",
        );
        if is_renewed {
            html.raw("<meta http-equiv=refresh content=5>");
        }
        html.raw("<title>")
            .text(title)
            .raw(" \u{b7} DANA payments</title><style>")
            .raw(STYLE)
            .raw("</style>");
        html
    }

    pub(super) fn end(mut self) -> String {
        self.raw("</html>\n");
        self.0
    }

    /// Adds markup.
    pub(super) fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, which may be anything.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                char => self.0.push(char),
            }
        }
        self
    }

    /// Adds a name and what there is to say of it.
    pub(super) fn pair(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw("<dt>").text(name).raw("<dd>").text(value)
    }

    /// Opens a part of the page.
    pub(super) fn open(&mut self, mark: Mark) -> &mut Self {
        self.raw("<section class=").raw(mark.class()).raw(">")
    }

    /// Adds a table.
    pub(super) fn table(&mut self, names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.raw("<table><tr>");
        for name in names {
            self.raw("<th>").raw(name);
        }
        self.raw("</tr>");
        for row in rows {
            self.raw("<tr>");
            for (name, value) in names.iter().zip(&row) {
                self.raw("<td data-name=\"").raw(name).raw("\">").text(value);
            }
            self.raw("</tr>");
        }
        self.raw("</table>");
    }
}

/// How good a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Good,
    Care,
    Bad,
}

impl Mark {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Care => "care",
            Self::Bad => "bad",
        }
    }

    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Good => "\u{2714} ",
            Self::Care => "\u{25b2} ",
            Self::Bad => "\u{2716} ",
        }
    }
}
