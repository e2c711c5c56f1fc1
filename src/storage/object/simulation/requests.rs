/// How often a bucket was asked for what, by the calls of [`Bucket`](super::Bucket).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// Objects, or their beginnings.
    pub get: u64,
    /// Objects written as a whole.
    pub put: u64,
    /// Looks at what is known of an object.
    pub stat: u64,
    /// Ranges of objects.
    pub read: u64,
    /// Removals.
    pub delete: u64,
    /// Pages of 1000 objects.
    pub list: u64,
    /// Copies of whole objects.
    pub copy: u64,
    /// Sessions opened.
    pub begin: u64,
    /// Objects made of others.
    pub compose: u64,
    /// Parts written.
    pub put_part: u64,
    /// Parts made of other objects.
    pub copy_part: u64,
    /// Lists of parts read.
    pub parts: u64,
    /// Lists of parts made to last.
    pub secure: u64,
    /// Sessions completed.
    pub complete: u64,
    /// Sessions aborted.
    pub abort: u64,
    /// Lists of sessions.
    pub sessions: u64,
    /// URLs signed: these cost no request, and are not in the total.
    pub signed_url: u64,
    /// Bytes of objects and parts that were written.
    pub sent: u64,
    /// Bytes of objects that were read.
    pub received: u64,
}

impl Requests {
    /// All requests together, those that failed too.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.get
            + self.put
            + self.stat
            + self.read
            + self.delete
            + self.list
            + self.copy
            + self.compose
            + self.begin
            + self.put_part
            + self.copy_part
            + self.parts
            + self.secure
            + self.complete
            + self.abort
            + self.sessions
    }
}
