/// The most that goes with one request: learned from refusals (413), and now and then tried again, for a
/// refusal may have had another reason.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    now: u64,
    /// What the user wants.
    most: u64,
    /// Full requests in a row that were taken.
    taken: u32,
    /// How many of them it takes to try a larger one: more after each refusal.
    needed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    Smaller,
    Nothing,
}

impl Limit {
    pub(super) fn new(most: u64) -> Self {
        let most = most.max(1);
        Self {
            now: most,
            most,
            taken: 0,
            needed: FIRST_TRY,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.now
    }

    /// A body of so many bytes is too large.
    pub(super) fn learn(&mut self, sent: u64) -> Learned {
        if sent <= SMALLEST {
            return Learned::Nothing;
        }
        let half = (sent.min(self.now) / 2).max(SMALLEST);
        self.now = half.min(FIRST_GUESS).min(self.now);
        self.taken = 0;
        self.needed = self.needed.saturating_mul(2);
        Learned::Smaller
    }

    /// A body of so many bytes was taken.
    pub(super) fn worked(&mut self, sent: u64) {
        if sent < self.now || self.now >= self.most {
            return;
        }
        self.taken += 1;
        if self.taken >= self.needed {
            self.taken = 0;
            self.now = self.now.saturating_mul(2).min(self.most);
        }
    }
}

/// A server that takes less than this in one request is beyond help.
const SMALLEST: u64 = 64 << 10;

/// Most limits that proxies come with are below.
const FIRST_GUESS: u64 = 64 << 20;

/// Half of the requests before the first larger one.
const FIRST_TRY: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that takes up to `takes`, and how many requests of `total` bytes it refuses.
    fn refused(takes: u64, mut total: u64) -> (u32, Limit) {
        let mut limit = Limit::new(u64::MAX);
        let mut refused = 0;
        while total > 0 {
            let sent = limit.bytes().min(total);
            if sent > takes {
                refused += 1;
                assert_eq!(limit.learn(sent), Learned::Smaller);
            } else {
                limit.worked(sent);
                total -= sent;
            }
        }
        (refused, limit)
    }

    #[test]
    fn a_limit_is_found_and_seldom_tried() {
        let (count, limit) = refused(1 << 20, 10 << 30);
        assert_eq!(limit.bytes(), 1 << 20);
        assert!(count < 16, "{count}");
    }

    #[test]
    fn a_refusal_that_was_a_mistake_is_forgotten() {
        let mut limit = Limit::new(1 << 30);
        for _ in 0..20 {
            let _ = limit.learn(limit.bytes());
        }
        assert_eq!(limit.bytes(), SMALLEST);
        assert_eq!(limit.learn(SMALLEST), Learned::Nothing);
        let mut limit = Limit::new(1 << 30);
        limit.learn(1 << 30);
        for _ in 0..64 {
            limit.worked(limit.bytes());
        }
        assert_eq!(limit.bytes(), 1 << 30);
        limit.worked(1 << 30);
        assert_eq!(limit.bytes(), 1 << 30);
    }

    #[test]
    fn what_the_user_wants_is_never_exceeded() {
        let mut limit = Limit::new(1000);
        assert_eq!(limit.learn(1000), Learned::Nothing);
        for _ in 0..100 {
            limit.worked(1000);
        }
        assert_eq!(limit.bytes(), 1000);
    }
}
