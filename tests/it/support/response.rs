use std::fmt;

/// An answer as it came over the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Every field in its order, repetitions included; names as they were sent.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Status codes of the interim answers (1xx) before this one.
    pub(crate) interim: Vec<u16>,
}

impl Response {
    /// The field's value; fails the test if the field is there more than once, or not ASCII.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(
            values.len() < 2,
            "{name} stands {} times in {self:?}",
            values.len()
        );
        let value = values.first()?;
        Some(std::str::from_utf8(value).unwrap_or_else(|_| panic!("{name} is no text: {self:?}")))
    }

    /// The values of all fields of this name.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        self.headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
            .collect()
    }

    /// The items of a comma-separated field; none if it is missing.
    #[track_caller]
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        self.header(name)
            .map_or_else(Vec::new, |value| value.split(',').map(str::trim).collect())
    }

    /// `Upload-Offset`, which has to be plain digits.
    #[track_caller]
    pub(crate) fn offset(&self) -> Option<u64> {
        self.number("Upload-Offset")
    }

    /// `Upload-Length`, which has to be plain digits.
    #[track_caller]
    pub(crate) fn length(&self) -> Option<u64> {
        self.number("Upload-Length")
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails the test unless the status is one of these.
    #[track_caller]
    pub(crate) fn expect_any(self, statuses: &[u16]) -> Self {
        assert!(
            statuses.contains(&self.status),
            "none of {statuses:?}: {self:?}"
        );
        self
    }

    /// Fails the test unless the request was refused: a 4xx.
    #[track_caller]
    pub(crate) fn expect_refused(self) -> Self {
        assert!((400..500).contains(&self.status), "not refused: {self:?}");
        self
    }

    #[track_caller]
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.header(name)?;
        let number: u64 = value
            .parse()
            .unwrap_or_else(|_| panic!("{name}: {value:?}"));
        assert_eq!(
            value,
            number.to_string(),
            "{name} is not written in plain digits"
        );
        Some(number)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answer {} (interim: {:?})", self.status, self.interim)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {}", value.escape_ascii())?;
        }
        let start = &self.body[..self.body.len().min(200)];
        write!(f, "  {} bytes: {}", self.body.len(), start.escape_ascii())
    }
}
