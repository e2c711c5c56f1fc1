//! `tus upload` in a terminal, as people see it.

use std::{
    process::{Command, id},
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, World, sample, skipped};

#[test]
fn bars_are_drawn_and_the_url_is_the_last_line() {
    let world = World::new();
    world.file("clip.mp4", sample(6_000_000));
    world.file("album/1.jpg", sample(2_000_000));
    world.file("album/2.jpg", sample(1_000_000));
    let Some(terminal) = Terminal::open(&world) else {
        return skipped("bars in a terminal: there is no tmux");
    };
    terminal.run(&format!(
        "upload clip.mp4 {} --limit-rate 2MiB",
        world.url()
    ));
    let drawn = terminal.until("a bar", |screen| {
        screen.contains("clip.mp4") && screen.contains('━') && screen.contains("/s")
    });
    assert!(drawn.contains("of 5.72 MiB"), "{drawn}");
    let done = terminal.until("the end", |screen| has_line(screen, "CODE=0"));
    let url = line_before(&done, "CODE=0");
    assert!(url.starts_with(&world.url()), "{done}");
    assert!(!done.contains('━'), "the bar is gone:\n{done}");
    assert!(done.contains("clip.mp4: 5.72 MiB in "), "{done}");
    assert_eq!(world.stored(url), sample(6_000_000));

    terminal.run(&format!(
        "upload album {} --jobs 2 --limit-rate 1MiB",
        world.url()
    ));
    terminal.until("three bars", |screen| {
        let has = |name: &str| {
            let mut lines = screen.lines();
            lines.any(|line| line.starts_with(name) && line.contains('%'))
        };
        has("album/1.jpg") && has("album/2.jpg") && has("2 files")
    });
    let done = terminal.until("the end", |screen| has_line(screen, "CODE=0"));
    assert!(
        line_before(&done, "CODE=0").starts_with(&world.url()),
        "{done}"
    );

    // Ctrl-C, as it is typed.
    terminal.run(&format!(
        "upload clip.mp4 {} --limit-rate 1MiB",
        world.url()
    ));
    terminal.until("a bar", |screen| screen.contains('━'));
    terminal.tmux(&["send-keys", "C-c"]);
    let done = terminal.until("the end", |screen| has_line(screen, "CODE=130"));
    assert!(
        done.contains("run the same command again to go on"),
        "{done}"
    );
    assert!(!done.contains('━'), "{done}");
}

fn has_line(screen: &str, line: &str) -> bool {
    screen.lines().any(|one| one == line)
}

/// The last line of text above this one.
#[track_caller]
fn line_before<'s>(screen: &'s str, line: &str) -> &'s str {
    let above = screen.lines().take_while(|one| *one != line);
    above.filter(|one| !one.is_empty()).last().unwrap()
}

/// A terminal of its own.
struct Terminal<'w> {
    world: &'w World,
    socket: String,
}

impl<'w> Terminal<'w> {
    fn open(world: &'w World) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok()?;
        let socket = world.path().join(format!("tmux-{}", id()));
        let terminal = Self {
            world,
            socket: socket.to_str()?.to_owned(),
        };
        let home = world.home();
        let home = home.to_str()?;
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "40",
            "-c",
            home,
            "env -u TUS_LOG PS1= sh",
        ]);
        Some(terminal)
    }

    /// Types a command; its exit code follows on a line.
    fn run(&self, args: &str) {
        let state = self.world.path().join("state");
        let line = format!(
            "clear; XDG_STATE_HOME={} {} {args}; echo CODE=$?",
            state.display(),
            env!("CARGO_BIN_EXE_tus")
        );
        self.tmux(&["send-keys", "-l", &line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// What is on the screen once it is this.
    #[track_caller]
    fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let screen: Vec<_> = screen.lines().map(str::trim_end).collect();
            let screen = screen.join("\n");
            if is_it(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what} is not there:\n{screen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .env_remove("TMUX")
            .args(["-u", "-S", &self.socket])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        // Of this socket, which is this test's.
        self.tmux(&["kill-server"]);
    }
}
