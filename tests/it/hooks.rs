//! HOOK: the application decides, and is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use http::{StatusCode, header::WWW_AUTHENTICATE};
use tokio_util::sync::CancellationToken;
use tower_tus::{
    TusService,
    hooks::{Access, Finish, Hook, Hooks, Notice, Rejection, Undelivered},
    protocol::{self, Limits, Metadata},
    storage,
};

use crate::support::{
    Judge, Kind, OCTETS, Recorder, Request, Server, Verdict, base64, content, on_each_storage_with,
    wait,
};

/// Lets in who has the key, and nobody to an upload that is secret.
fn guarded(tus: TusService) -> TusService {
    tus.authorize(|access| {
        if access.request.headers.get("x-key").is_none() {
            return Err(Rejection::unauthorized()
                .header(WWW_AUTHENTICATE, "Bearer")
                .body("no key\n"));
        }
        match access.upload {
            Some(upload) if upload.metadata.get("secret").is_some() => Err(Rejection::forbidden()),
            _ => Ok(()),
        }
    })
}

#[tokio::test]
async fn every_method_is_asked_about_and_a_rejection_can_be_read_by_pages() {
    on_each_storage_with(guarded, async |server, client| {
        let create = Request::create().header("Upload-Length", "4");
        let refused = create.clone().header("Origin", "https://a.example");
        let refused = client.send(refused).await.expect(401);
        assert_eq!(refused.body, b"no key\n");
        assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer"));
        assert_eq!(refused.header("Tus-Resumable"), Some("1.0.0"));
        assert_eq!(refused.header("Access-Control-Allow-Origin"), Some("*"));
        let with_bytes = create.clone().header("Content-Type", OCTETS).body("abcd");
        client.send(with_bytes).await.expect(401);
        assert!(server.files().is_empty(), "{:?}", server.files());

        let url = client.create_with(create.header("X-Key", "k")).await;
        for method in ["HEAD", "GET", "DELETE", "OPTIONS"] {
            client.send(Request::new(method, &url)).await.expect(401);
        }
        client.patch(&url, 0, b"abcd").await.expect(401);
        let preflight = Request::new("OPTIONS", &url)
            .header("Origin", "https://a.example")
            .header("Access-Control-Request-Method", "PATCH");
        client.send(preflight).await.expect(204);
        // Who may not ask is not told what exists.
        client.head("/files/unknown").await.expect(401);

        let patch = Request::patch(&url, 0).header("X-Key", "k").body("abcd");
        client.send(patch).await.expect(204);
        let get = Request::new("GET", &url).header("X-Key", "k");
        assert_eq!(client.send(get).await.expect(200).body, b"abcd");
    })
    .await;
}

#[tokio::test]
async fn no_request_passes_for_a_preflight_that_is_none() {
    on_each_storage_with(guarded, async |server, client| {
        let create = Request::create().header("Upload-Length", "4");
        let url = client
            .create_with(create.clone().header("X-Key", "k"))
            .await;
        let before = server.files();
        for method in ["OPTIONS", "POST", "GET", "HEAD", "PATCH", "DELETE", "PUT"] {
            for (target, meant) in [
                (url.as_str(), "PATCH"),
                (&url, "DELETE"),
                (&url, "HEAD"),
                (&url, "GET"),
                ("/files", "POST"),
            ] {
                let request = Request::new(method, target)
                    .set("Tus-Resumable", "1.0.0")
                    .header("X-HTTP-Method-Override", meant)
                    .header("Origin", "https://a.example")
                    .header("Access-Control-Request-Method", meant)
                    .header("Content-Type", OCTETS)
                    .header("Upload-Offset", "0")
                    .header("Upload-Length", "4")
                    .body("data");
                client.send(request).await.expect_any(&[400, 401]);
            }
        }
        assert_eq!(server.files(), before);
        let head = Request::new("HEAD", &url).header("X-Key", "k");
        assert_eq!(client.send(head).await.expect(200).offset(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn parts_of_a_concatenation_are_authorized_as_well() {
    on_each_storage_with(guarded, async |_server, client| {
        let open = Request::partial(0).header("X-Key", "k");
        let secret = open.clone().header("Upload-Metadata", "secret");
        let (open, secret) = (
            client.create_with(open).await,
            client.create_with(secret).await,
        );
        let join = |parts: String| {
            Request::create()
                .header("Upload-Concat", format!("final;{parts}"))
                .header("X-Key", "k")
        };
        client
            .send(join(format!("{open} {secret}")))
            .await
            .expect(403);
        client
            .send(join(format!("{open} {open}")))
            .await
            .expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_creation_is_what_the_hook_made_of_it() {
    let configure = |tus: TusService| {
        tus.on_create(|creation| {
            let name = creation
                .upload()
                .metadata
                .get_str("name")
                .unwrap_or_default();
            let id = name.parse().map_err(|_| Rejection::bad_request())?;
            creation.set_id(id);
            creation.set_key(format!("dir/{name}.bin").parse().unwrap());
            creation.set_metadata(Metadata::from_pairs([("by", "hook")]).unwrap());
            let reply = creation.reply();
            reply.headers.insert("x-made", "yes".parse().unwrap());
            reply.body = Bytes::from_static(b"made\n");
            Ok(())
        })
    };
    on_each_storage_with(configure, async |server, client| {
        let named = |name: &str| {
            Request::create().header("Upload-Length", "3").header(
                "Upload-Metadata",
                format!("name {}", base64(name.as_bytes())),
            )
        };
        let created = client.send(named("one")).await.expect(201);
        assert_eq!(created.header("Location"), Some("/files/one"));
        assert_eq!(created.header("X-Made"), Some("yes"));
        assert_eq!(created.body, b"made\n");
        let head = client.head("/files/one").await.expect(200);
        let by = format!("by {}", base64(b"hook"));
        assert_eq!(head.header("Upload-Metadata"), Some(by.as_str()));

        client.patch("/files/one", 0, b"ab").await.expect(204);
        // A name that is taken, and one that is none.
        let taken = client.send(named("one")).await.expect(409);
        assert!(
            String::from_utf8_lossy(&taken.body).contains("exists"),
            "{taken:?}"
        );
        client.send(named("../one")).await.expect(400);
        assert_eq!(client.offset("/files/one").await, 2);

        client.patch("/files/one", 2, b"c").await.expect(204);
        assert_eq!(client.get("/files/one").await.expect(200).body, b"abc");
        if !server.files().is_empty() {
            let files = server.files();
            assert!(
                files.iter().any(|file| file.ends_with("dir/one.bin")),
                "{files:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_size_of_its_own_holds_for_known_and_unknown_lengths() {
    let configure = |tus: TusService| {
        tus.on_create(|creation| {
            creation.set_max_size(4);
            Ok(())
        })
    };
    on_each_storage_with(configure, async |server, client| {
        let create = Request::create().header("Upload-Length", "5");
        client.send(create).await.expect(413);
        assert!(server.files().is_empty(), "{:?}", server.files());
        let url = client.create_with(Request::deferred()).await;
        client.patch(&url, 0, b"abcde").await.expect(413);
        let declared = Request::patch(&url, 0).header("Upload-Length", "5");
        client.send(declared.body("a")).await.expect(413);
        let declared = Request::patch(&url, 0).header("Upload-Length", "4");
        client.send(declared.body("abcd")).await.expect(204);
        server.assert_stored(&url, b"abcd").await;
    })
    .await;
}

#[tokio::test]
async fn a_refused_creation_leaves_nothing_behind() {
    let configure =
        |tus: TusService| tus.on_create(|_| Err(Rejection::unsupported_media_type().body("no\n")));
    on_each_storage_with(configure, async |server, client| {
        let create = Request::create().header("Upload-Length", "100000");
        let body = create
            .header("Content-Type", OCTETS)
            .body(content(100_000, 1));
        assert_eq!(client.send(body).await.expect(415).body, b"no\n");
        client.send(Request::partial(3)).await.expect(415);
        assert!(server.files().is_empty(), "{:?}", server.files());
    })
    .await;
}

/// tusd#1299: the hook fails, the client tries again, and is told that all is well.
#[tokio::test]
async fn a_vetoed_upload_stays_and_each_retry_asks_again() {
    let judge = Judge::default();
    let judged = judge.clone();
    let configure = move |tus: TusService| tus.hooks(judged.clone());
    on_each_storage_with(configure, async |mut server, client| {
        let infected = Rejection::unprocessable().body("a virus\n");
        judge.says(Verdict::Veto(infected));
        let url = client.create(5).await;
        let refused = client.patch(&url, 0, b"abcde").await.expect(422);
        assert_eq!(
            (refused.body.as_slice(), refused.offset()),
            (&b"a virus\n"[..], None)
        );
        client.head(&url).await.expect(422);
        client.get(&url).await.expect(422);
        client.patch(&url, 5, b"").await.expect(422);
        // Nor does the sweeper or a restart put it in place.
        server.tus().recover().await.unwrap();
        server.restart().await;
        server.tus().recover().await.unwrap();
        client.head(&url).await.expect(422);

        judge.says(Verdict::Pass);
        client.patch(&url, 5, b"").await.expect(204);
        server.assert_stored(&url, b"abcde").await;

        judge.says(Verdict::Veto(Rejection::unprocessable()));
        let gone = client.create(1).await;
        client.patch(&gone, 0, b"x").await.expect(422);
        client.delete(&gone).await.expect(204);
        client.head(&gone).await.expect_any(&[404, 410]);
    })
    .await;
}

#[tokio::test]
async fn a_veto_within_a_creation_leaves_nothing_behind() {
    let judge = Judge::default();
    let judged = judge.clone();
    let configure = move |tus: TusService| tus.hooks(judged.clone());
    on_each_storage_with(configure, async |server, client| {
        judge.says(Verdict::Pass);
        let part = client.part(b"abc").await;
        let before = server.files();
        judge.says(Verdict::Veto(Rejection::unprocessable()));
        let create = Request::create().header("Upload-Length", "5");
        let whole = create.header("Content-Type", OCTETS).body("abcde");
        client.send(whole).await.expect(422);
        let empty = Request::create().header("Upload-Length", "0");
        client.send(empty).await.expect(422);
        let join = Request::create().header("Upload-Concat", format!("final;{part}"));
        client.send(join.clone()).await.expect(422);
        assert_eq!(server.files(), before);

        judge.says(Verdict::Pass);
        let url = client.create_with(join).await;
        server.assert_stored(&url, b"abc").await;
    })
    .await;
}

/// Says what it made of the file.
#[derive(Debug)]
struct Answering;

#[async_trait::async_trait]
impl Hooks for Answering {
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PreFinish
    }

    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        let size = finish.upload().offset;
        let reply = finish.reply();
        reply
            .headers
            .insert("content-type", "application/json".parse().unwrap());
        reply.headers.insert("upload-offset", "99".parse().unwrap());
        reply.body = format!("{{\"size\":{size}}}").into();
        Ok(())
    }
}

#[tokio::test]
async fn the_last_answer_can_be_the_applications() {
    on_each_storage_with(
        |tus| tus.hooks(Answering),
        async |server, client| {
            let url = client.create(5).await;
            let first = client.patch(&url, 0, b"ab").await.expect(204);
            assert_eq!(first.header("Content-Type"), None);
            let last = client.patch(&url, 2, b"cde").await.expect(200);
            assert_eq!(last.body, b"{\"size\":5}");
            assert_eq!(last.header("Content-Type"), Some("application/json"));
            assert_eq!(last.offset(), Some(5));
            server.assert_stored(&url, b"abcde").await;

            let create = Request::create().header("Upload-Length", "2");
            let whole = create.header("Content-Type", OCTETS).body("xy");
            let created = client.send(whole).await.expect(201);
            assert_eq!(created.body, b"{\"size\":2}");

            let part = client.create_with(Request::partial(1)).await;
            client.patch(&part, 0, b"p").await.expect(200);
            let join = Request::create().header("Upload-Concat", format!("final;{part} {part}"));
            assert_eq!(client.send(join).await.expect(201).body, b"{\"size\":2}");
        },
    )
    .await;
}

/// Answers with all bytes but the first.
#[derive(Debug)]
struct Reading;

#[async_trait::async_trait]
impl Hooks for Reading {
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PreFinish
    }

    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        if finish.upload().kind == protocol::Kind::Partial {
            return Ok(());
        }
        let bytes = async {
            let pieces: Vec<_> = finish.read(1..u64::MAX).await?.try_collect().await?;
            Ok(pieces.concat())
        };
        let bytes = match bytes.await {
            Ok(bytes) => bytes,
            Err(storage::Error::Unsupported(_)) => b"unsupported".to_vec(),
            Err(error) => panic!("{error:?}"),
        };
        finish.reply().body = bytes.into();
        Ok(())
    }
}

#[tokio::test]
async fn what_is_about_to_be_finished_can_be_read() {
    for kind in Kind::ALL {
        let server = Server::start(kind, |tus| tus.hooks(Reading));
        let client = server.client();
        let url = client.create(5).await;
        client.patch(&url, 0, b"ab").await.expect(204);
        let last = client.patch(&url, 2, b"cde").await.expect(200);
        let expected = match kind {
            Kind::Object => "unsupported",
            Kind::File | Kind::Memory => "bcde",
        };
        assert_eq!(String::from_utf8_lossy(&last.body), expected);

        // Of what is joined the parts are there, in any storage.
        let (first, second) = (client.part(b"a").await, client.part(b"bcd").await);
        let parts = format!("final;{first} {second} {first}");
        let join = Request::create().header("Upload-Concat", parts);
        assert_eq!(client.send(join).await.expect(201).body, b"bcda");
    }
}

#[tokio::test]
async fn a_hook_that_panics_or_hangs_costs_its_own_request_and_no_byte() {
    let judge = Judge::default();
    let judged = judge.clone();
    let configure = move |tus: TusService| {
        tus.hooks(judged.clone())
            .hook_timeout(Duration::from_millis(20))
    };
    on_each_storage_with(configure, async |server, client| {
        for (verdict, status) in [
            (Verdict::Panic, 500),
            (Verdict::Wait(CancellationToken::new()), 503),
        ] {
            judge.says(verdict);
            let url = client.create(3).await;
            client.patch(&url, 0, b"abc").await.expect(status);
            judge.says(Verdict::Pass);
            client.patch(&url, 3, b"").await.expect(204);
            server.assert_stored(&url, b"abc").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_cuts_no_hook() {
    for kind in Kind::ALL {
        let slow = Slow::default();
        let hooks = slow.clone();
        let server = Server::start(kind, move |tus| tus.hooks(hooks.clone()));
        let client = server.client();
        let create = Request::create()
            .header("Upload-Length", "3")
            .header("Upload-Metadata", "slow");
        let url = client.create_with(create).await;
        let mut connection = client.connect().await;
        let patch = Request::patch(&url, 0).body("abc");
        connection.write(patch.to_bytes()).await;
        wait::until_true("the hook", async || slow.waiting.load(SeqCst) == 1).await;
        connection.reset();
        // A second request finds the hook at work.
        let mut reader = client.connect().await;
        reader.write(Request::new("GET", &url).to_bytes()).await;
        slow.end.cancel();
        reader.response("GET").await.expect(200);
        server.assert_stored(&url, b"abc").await;
        assert_eq!(slow.waiting.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn an_application_that_is_slow_keeps_the_sweeper_from_nothing() {
    for kind in Kind::ALL {
        let judge = Judge::default();
        judge.says(Verdict::Wait(CancellationToken::new()));
        let (judged, expires) = (judge.clone(), Arc::new(AtomicBool::new(false)));
        let soon = Arc::clone(&expires);
        let mut server = Server::start(kind, move |tus| {
            let tus = tus
                .hooks(judged.clone())
                .sweep_every(Duration::from_millis(10));
            match soon.load(SeqCst) {
                true => tus.expires_after(Duration::from_millis(1)),
                false => tus,
            }
        });
        let client = server.client();
        let whole = client.create(3).await;
        let mut connection = client.connect().await;
        let patch = Request::patch(&whole, 0).body("abc");
        connection.write(patch.to_bytes()).await;
        wait::until_true("the hook", async || judge.is_asked()).await;
        // The next service finds an upload that waits for the application.
        expires.store(true, SeqCst);
        server.crash();
        let stale = client.create(3).await;
        wait::until_true("the sweep", async || {
            matches!(client.head(&stale).await.status, 404)
        })
        .await;
    }
}

#[tokio::test]
async fn a_refused_delete_disturbs_no_writer() {
    #[derive(Debug)]
    struct Keep;

    #[async_trait::async_trait]
    impl Hooks for Keep {
        async fn pre_terminate(
            &self,
            _: &mut tower_tus::hooks::Termination<'_>,
        ) -> Result<(), Rejection> {
            Err(Rejection::forbidden())
        }
    }

    on_each_storage_with(
        |tus| tus.hooks(Keep),
        async |server, client| {
            let url = client.create(6).await;
            let mut writer = client.connect().await;
            let patch = Request::patch(&url, 0).body("abcdef");
            writer.write(patch.head_bytes()).await;
            writer.write("abc").await;
            client.delete(&url).await.expect(403);
            writer.write("def").await;
            writer.response("PATCH").await.expect(204);
            server.assert_stored(&url, b"abcdef").await;
        },
    )
    .await;
}

#[tokio::test]
async fn hooks_are_told_of_a_life_in_its_order() {
    let recorder = Recorder::default();
    let recorded = recorder.clone();
    let configure = move |tus: TusService| {
        tus.hooks(recorded.clone())
            .progress_interval(Duration::ZERO)
    };
    on_each_storage_with(configure, async |_server, client| {
        let url = client.create(6).await;
        client.patch(&url, 0, b"abc").await.expect(204);
        client.patch(&url, 3, b"def").await.expect(204);
        client.delete(&url).await.expect(204);
        wait::until_true("the last hook", async || {
            recorder.of(&url).contains(&"post-terminate")
        })
        .await;
        let of = |prefix: &str| {
            let calls = recorder.of(&url).into_iter();
            let mut calls: Vec<_> = calls.filter(|hook| hook.starts_with(prefix)).collect();
            calls.dedup();
            calls
        };
        assert_eq!(
            of("post"),
            [
                "post-create",
                "post-receive",
                "post-finish",
                "post-terminate"
            ]
        );
        assert_eq!(of("pre"), ["pre-create", "pre-finish", "pre-terminate"]);
        let progress = recorder.calls().into_iter();
        let mut progress = progress.filter(|call| call.hook == "post-receive");
        assert!(progress.all(|call| call.offset == 3 || call.offset == 6));
    })
    .await;
}

#[tokio::test]
async fn of_several_hooks_the_first_rejection_counts() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = Server::with(move |tus| {
        let counted = Arc::clone(&counted);
        tus.on_create(|creation| {
            creation.set_metadata(Metadata::from_pairs([("first", "1")]).unwrap());
            Ok(())
        })
        .on_create(|creation| match creation.upload().metadata.get("first") {
            Some(_) => Err(Rejection::new(StatusCode::PAYMENT_REQUIRED)),
            None => Ok(()),
        })
        .on_create(move |_| {
            counted.fetch_add(1, SeqCst);
            Ok(())
        })
    });
    let create = Request::create().header("Upload-Length", "1");
    server.client().send(create).await.expect(402);
    assert_eq!(asked.load(SeqCst), 0);
}

/// Waits with whatever is called slow.
#[derive(Clone, Debug, Default)]
struct Slow {
    waiting: Arc<AtomicUsize>,
    end: CancellationToken,
}

#[async_trait::async_trait]
impl Hooks for Slow {
    fn wants(&self, hook: Hook) -> bool {
        matches!(hook, Hook::PreFinish | Hook::PostFinish)
    }

    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        if finish.upload().metadata.get("slow").is_some() {
            self.waiting.fetch_add(1, SeqCst);
            self.end.cancelled().await;
        }
        Ok(())
    }

    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        if notice.upload.metadata.get("later").is_some() {
            self.waiting.fetch_add(1, SeqCst);
            self.end.cancelled().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_thousand_slow_hooks_slow_nobody_else() {
    let slow = Slow::default();
    let hooks = slow.clone();
    // Far fewer writers than hooks that wait.
    let server = Server::start(Kind::Memory, move |tus| {
        tus.hooks(hooks.clone())
            .limits(Limits::default().max_writers(4))
    });
    let client = server.client();
    let whole = |metadata: &str| {
        Request::create()
            .header("Upload-Length", "3")
            .header("Upload-Metadata", metadata)
            .header("Content-Type", OCTETS)
            .body("abc")
    };
    let mut answers = Vec::new();
    for number in 1..=500 {
        answers.push(tokio::spawn(client.send(whole("slow"))));
        client.send(whole("later")).await.expect(201);
        wait::until_true("hooks that wait", async || {
            slow.waiting.load(SeqCst) == 2 * number
        })
        .await;
    }
    let url = client.upload(b"as ever").await;
    server.assert_stored(&url, b"as ever").await;

    slow.end.cancel();
    for answer in answers {
        answer.await.unwrap().expect(201);
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_being_told() {
    let slow = Slow::default();
    let hooks = slow.clone();
    let server = Server::with(move |tus| tus.hooks(hooks.clone()));
    let create = Request::create()
        .header("Upload-Length", "0")
        .header("Upload-Metadata", "later");
    server.client().create_with(create).await;
    wait::until_true("the hook", async || slow.waiting.load(SeqCst) == 1).await;
    let mut shutdown = Box::pin(server.tus().shutdown());
    assert!(futures::poll!(&mut shutdown).is_pending());
    slow.end.cancel();
    tokio::time::timeout(wait::DEADLINE, shutdown)
        .await
        .unwrap();
}

/// Refuses all, but wants to be asked nothing.
#[derive(Debug)]
struct Unasked;

#[async_trait::async_trait]
impl Hooks for Unasked {
    fn wants(&self, _: Hook) -> bool {
        false
    }

    async fn authorize(&self, _: &Access<'_>) -> Result<(), Rejection> {
        Err(Rejection::forbidden())
    }
}

#[tokio::test]
async fn hooks_behind_pointers_are_called_as_those_without() {
    let (plain, behind) = (Recorder::default(), Recorder::default());
    let (hooks, chosen) = (plain.clone(), behind.clone());
    let server = Server::with(move |tus| {
        let shared: Arc<dyn Hooks> = Arc::new(chosen.clone());
        let boxed: Box<dyn Hooks> = Box::new(shared);
        let unasked: Box<dyn Hooks> = Box::new(Arc::new(Unasked));
        tus.progress_interval(Duration::ZERO)
            .hooks(hooks.clone())
            .hooks(boxed)
            .hooks(unasked)
            .hooks(())
    });
    let client = server.client();
    let url = client.upload(b"abc").await;
    client.delete(&url).await.expect(204);
    wait::until_true("the last of them", async || {
        behind.of(&url).contains(&"post-terminate")
    })
    .await;
    assert_eq!(behind.calls(), plain.calls());
    for hook in Hook::ALL {
        let called = behind.calls().iter().any(|call| call.hook == hook.name());
        assert!(called, "{}", hook.name());
    }
}
