//! Against a server of ours that speaks the protocol and records what it was sent.

use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, pending};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use super::*;
use tokio::sync::mpsc;

use crate::conversation::{Brain, Done, Told, TransferRequest};

/// What the server does with one request.
#[derive(Clone)]
enum Script {
    /// The events of a stream, then `[DONE]`.
    Events(Vec<Value>),
    /// The events, and then the connection breaks.
    Broken(Vec<Value>),
    /// The events and a proper end without a finish reason.
    Unfinished(Vec<Value>),
    Status(u16),
    Garbage,
    /// Takes the request and never answers.
    Silent,
    /// The events, and the others with `[DONE]` once it is let.
    Held(Vec<Value>, Arc<Notify>, Vec<Value>),
    /// The events, and then tells when the client has gone.
    Left(Vec<Value>, Arc<Notify>),
}

struct Server {
    settings: LlmSettings,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let requests = requests.clone();
            async move {
                for script in scripts {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let request = read_request(&mut socket).await;
                    requests.lock().unwrap().push(request);
                    play(&mut socket, script).await;
                }
            }
        });
        Self {
            settings: LlmSettings {
                api_key: "secret-key".to_owned().into(),
                base_url: format!("http://{address}/v1").parse().unwrap(),
                model: "test-model".to_owned(),
                preemptive_generation: true,
            },
            requests,
            task,
        }
    }

    fn brain(&self) -> LlmBrain {
        LlmBrain::new(
            LanguageModel::new(&self.settings),
            PolicySettings {
                default_transfer: Some("+15550009999".parse().unwrap()),
                ..PolicySettings::default()
            },
        )
    }

    fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(socket: &mut TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request ended early");
        bytes.extend(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap();
        if body.len() >= length {
            return (head.to_owned(), serde_json::from_str(body).unwrap());
        }
    }
}

async fn play(socket: &mut TcpStream, script: Script) {
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let event = |event: &Value| chunk(&format!("data: {event}\n\n"));
    match script {
        Script::Events(events) => {
            write(socket, stream).await;
            for data in &events {
                write(socket, &event(data)).await;
            }
            write(socket, &chunk("data: [DONE]\n\n")).await;
            write(socket, "0\r\n\r\n").await;
        }
        Script::Broken(events) => {
            write(socket, stream).await;
            for data in &events {
                write(socket, &event(data)).await;
            }
        }
        Script::Unfinished(events) => {
            write(socket, stream).await;
            for data in &events {
                write(socket, &event(data)).await;
            }
            write(socket, "0\r\n\r\n").await;
        }
        Script::Status(status) => {
            let body = r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#;
            let head = format!(
                "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            write(socket, &(head + body)).await;
        }
        Script::Garbage => {
            write(socket, stream).await;
            write(socket, &chunk("data: {\"choices\": 7}\n\n")).await;
            write(socket, "0\r\n\r\n").await;
        }
        Script::Silent => std::future::pending().await,
        Script::Held(events, go, rest) => {
            write(socket, stream).await;
            for data in &events {
                write(socket, &event(data)).await;
            }
            go.notified().await;
            for data in &rest {
                write(socket, &event(data)).await;
            }
            write(socket, &chunk("data: [DONE]\n\n")).await;
            write(socket, "0\r\n\r\n").await;
        }
        Script::Left(events, left) => {
            write(socket, stream).await;
            for data in &events {
                write(socket, &event(data)).await;
            }
            while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            left.notify_one();
        }
    }
}

async fn write(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

fn piece(delta: Value, finish: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
}

fn says(pieces: &[&str]) -> Vec<Value> {
    let mut events: Vec<_> = pieces
        .iter()
        .map(|text| piece(json!({ "role": "assistant", "content": text }), None))
        .collect();
    events.push(piece(json!({}), Some("stop")));
    events
}

/// The arguments come in two pieces, as they do from the real servers.
fn calls(name: &str, arguments: &str) -> Vec<Value> {
    let (begin, end) = arguments.split_at(arguments.len() / 2);
    vec![
        piece(
            json!({ "role": "assistant", "content": null, "tool_calls": [{
                "index": 0, "id": "call_1", "type": "function",
                "function": { "name": name, "arguments": "" },
            }]}),
            None,
        ),
        piece(
            json!({ "tool_calls": [{ "index": 0, "function": { "arguments": begin } }] }),
            None,
        ),
        piece(
            json!({ "tool_calls": [{ "index": 0, "function": { "arguments": end } }] }),
            None,
        ),
        piece(json!({}), Some("tool_calls")),
    ]
}

fn turn(text: &str) -> Heard {
    Heard::Turn {
        first: text.to_owned(),
        second: None,
    }
}

/// Sentences, and more to come.
fn begins(pieces: &[&str]) -> Vec<Value> {
    let mut events = says(pieces);
    events.pop();
    events
}

/// All that comes of `heard`: the sentences, and the end.
async fn told(brain: &mut LlmBrain, heard: Heard) -> (Vec<String>, Reply) {
    let (to, mut told) = mpsc::channel(32);
    let reply = brain.hear(heard, &Listener::new(to)).await;
    let mut sentences = Vec::new();
    while let Some(told) = told.recv().await {
        match told {
            Told::FirstToken(_) => assert!(sentences.is_empty()),
            Told::Sentence(sentence) => sentences.push(sentence),
            Told::Reply { .. } => panic!("{told:?}"),
        }
    }
    (sentences, reply)
}

/// The answer as a whole.
async fn hear(brain: &mut LlmBrain, heard: Heard) -> Reply {
    let (mut said, Reply { say, then }) = told(brain, heard).await;
    said.extend(say);
    Reply {
        say: Some(said.join(" ")).filter(|said| !said.is_empty()),
        then,
    }
}

/// The next sentence, or the reply that there is no next one.
async fn next(told: &mut mpsc::Receiver<Told>) -> Result<String, Reply> {
    loop {
        match told.recv().await.unwrap() {
            Told::FirstToken(_) => {}
            Told::Sentence(sentence) => return Ok(sentence),
            Told::Reply { reply, .. } => return Err(reply),
        }
    }
}

#[tokio::test]
async fn a_sentence_is_told_while_the_server_holds_the_next_one_back() {
    let go = Arc::new(Notify::new());
    let server = Server::start(vec![Script::Held(
        begins(&["We open ", "at nine every", " day. ", "Sure"]),
        go.clone(),
        says(&[". We close at 5.", "30, Mr. Miller. Come", " in"]),
    )])
    .await;
    let mut brain = Brain::Llm(Box::new(server.brain()));
    let (to, mut told) = mpsc::channel(1);
    let answer = tokio::spawn(async move { brain.hear(turn("When?"), &Listener::new(to)).await });
    let first = next(&mut told).await;
    assert_eq!(first.as_deref(), Ok("We open at nine every day."));
    assert!(told.try_recv().is_err() && !answer.is_finished());

    go.notify_one();
    let second = next(&mut told).await;
    assert_eq!(second.as_deref(), Ok("Sure. We close at 5.30, Mr. Miller."));
    let end = next(&mut told).await.unwrap_err();
    assert_eq!(end.say.as_deref(), Some("Come in"));
    assert_eq!(end.then, Action::Listen);
}

#[tokio::test]
async fn an_answer_that_fails_after_its_first_sentence_ends_with_what_was_complete() {
    let begun = || begins(&["We open at nine every day. ", "Sure. ", "We are"]);
    let nonsense = [begun(), vec![json!({ "choices": 7 })]].concat();
    let unknown = [begun(), calls("launch_rocket", "{}")].concat();
    let never = Arc::new(Notify::new());
    for (n, script) in [
        Script::Broken(begun()),
        Script::Unfinished(begun()),
        Script::Events(nonsense),
        Script::Events(unknown),
        Script::Held(begun(), never, vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let server = Server::start(vec![script]).await;
        let (sentences, end) = told(&mut server.brain(), turn("Transfer me.")).await;
        assert_eq!(sentences, ["We open at nine every day."], "script {n}");
        let rest = format!("Sure. {BROKEN_OFF}");
        assert_eq!(end.say, Some(rest), "script {n}");
        assert_eq!(end.then, Action::Listen, "script {n}");
    }
}

#[tokio::test]
async fn what_a_model_says_before_a_transfer_is_told_and_the_notice_is_the_rules() {
    let text = "I am sorry to hear that. Let me ";
    let after = [
        calls("transfer_call", "{}"),
        says(&["I transfer you now. Bye. "]),
    ]
    .concat();
    let server = Server::start(vec![Script::Events([begins(&[text]), after].concat())]).await;
    let (sentences, end) = told(&mut server.brain(), turn("My parcel is broken!")).await;
    assert_eq!(sentences, ["I am sorry to hear that."]);
    assert_eq!(end, DialoguePolicy::new(server.brain().settings).transfer());
    assert_eq!(end.then, Action::Transfer(TransferRequest::Default));
}

#[tokio::test]
async fn what_a_model_says_before_it_hangs_up_is_its_goodbye() {
    let text = "Thank you for your call. ";
    let events = [begins(&[text]), calls("end_call", "{}")].concat();
    let server = Server::start(vec![Script::Events(events)]).await;
    let (sentences, end) = told(&mut server.brain(), turn("I have to leave")).await;
    assert_eq!(sentences, ["Thank you for your call."]);
    let (say, then) = (None, Action::HangUp);
    assert_eq!(end, Reply { say, then });
}

#[tokio::test]
async fn an_answer_that_nobody_wants_is_given_up_with_its_request() {
    let left = Arc::new(Notify::new());
    let server = Server::start(vec![
        Script::Left(
            begins(&["We open at nine every day. ", "And"]),
            left.clone(),
        ),
        Script::Events(says(&["At ten."])),
    ])
    .await;
    let mut brain = Brain::Llm(Box::new(server.brain()));
    let (to, mut told) = mpsc::channel(1);
    let listener = async {
        next(&mut told).await.unwrap();
        drop(told);
    };
    let to = Listener::new(to);
    tokio::join!(brain.hear(turn("When do you open?"), &to), listener);
    left.notified().await;
    brain.did(&Done::Said("We open".to_owned()));
    let (to, mut told) = mpsc::channel(32);
    brain
        .hear(turn("And on Sundays?"), &Listener::new(to))
        .await;

    let end = next(&mut told).await.unwrap_err();
    assert_eq!(end.say.as_deref(), Some("At ten."));
    let (_, body) = &server.requests()[1];
    let messages = body["messages"].as_array().unwrap();
    let texts = messages.iter().skip(1).map(|message| &message["content"]);
    assert_eq!(
        texts.collect::<Vec<_>>(),
        ["When do you open?", "We open", "And on Sundays?"]
    );
}

#[tokio::test]
async fn an_answer_is_spoken_and_the_talk_so_far_is_sent() {
    let server = Server::start(vec![
        Script::Events(says(&["We open ", "at nine."])),
        Script::Events(says(&["On Sundays too."])),
    ])
    .await;
    let mut brain = server.brain();
    let reply = hear(&mut brain, turn("When do you open?")).await;
    assert_eq!(reply.say.as_deref(), Some("We open at nine."));
    assert_eq!(reply.then, Action::Listen);
    brain.said("We open at nine.");
    hear(&mut brain, turn("And on Sundays?")).await;

    let requests = server.requests();
    let (head, body) = &requests[1];
    assert!(
        head.starts_with("POST /v1/chat/completions HTTP/1.1"),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("authorization: bearer secret-key"),
        "{head}"
    );
    assert_eq!(body["model"], "test-model");
    assert_eq!(body["stream"], true);
    let names: Vec<_> = body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["function"]["name"])
        .collect();
    assert_eq!(names, ["transfer_call", "end_call"]);
    let messages: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .skip(1)
        .map(|message| {
            (
                message["role"].as_str().unwrap(),
                message["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        messages,
        [
            ("user", "When do you open?"),
            ("assistant", "We open at nine."),
            ("user", "And on Sundays?"),
        ]
    );
}

#[tokio::test]
async fn the_model_is_told_only_what_the_person_has_heard() {
    let answer = || Script::Events(says(&["We open at nine, on Sundays at ten."]));
    let server = Server::start(vec![answer(), answer(), answer(), answer()]).await;
    let mut brain = server.brain();
    // What the call says by itself.
    brain.said("Hello, this is Ada.");
    hear(&mut brain, turn("When do you open?")).await;
    // Interrupted in the middle, then before the first word.
    brain.said("We open at nine,");
    hear(&mut brain, turn("Where?")).await;
    brain.said("");
    hear(&mut brain, turn("I mean, where are you?")).await;
    // The answer to this was not said at all, because the person went on.
    hear(&mut brain, turn("And when?")).await;

    let (_, body) = &server.requests()[3];
    let messages = body["messages"].as_array().unwrap();
    let messages = messages.iter().skip(1).map(|message| {
        let text = |key: &str| message[key].as_str().unwrap();
        (text("role"), text("content"))
    });
    assert_eq!(
        messages.collect::<Vec<_>>(),
        [
            ("assistant", "Hello, this is Ada."),
            ("user", "When do you open?"),
            ("assistant", "We open at nine,"),
            ("user", "Where?"),
            ("user", "I mean, where are you?"),
            ("user", "And when?"),
        ]
    );
}

#[tokio::test]
async fn the_transfer_tool_leads_to_the_default_number() {
    for arguments in [
        "{}",
        "",
        r#"{"destination": null}"#,
        r#"{"destination": " "}"#,
    ] {
        let server = Server::start(vec![Script::Events(calls("transfer_call", arguments))]).await;
        let reply = hear(&mut server.brain(), turn("My parcel is broken!")).await;
        assert_eq!(
            reply.then,
            Action::Transfer(TransferRequest::Default),
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn a_number_of_the_model_is_read_back_before_anything_happens() {
    let server = Server::start(vec![Script::Events(calls(
        "transfer_call",
        r#"{"destination": "+1 (202) 555-0143"}"#,
    ))])
    .await;
    let mut brain = server.brain();
    let reply = hear(&mut brain, turn("Put me on to my brother")).await;
    assert_eq!(
        reply.say.as_deref(),
        Some(
            "You said plus one, two zero two, five five five, zero one four three. Is that right?"
        )
    );
    assert_eq!(reply.then, Action::Listen);
    // The server has no script left: the yes is ours to understand.
    let reply = hear(&mut brain, turn("Yes.")).await;
    let number = "+12025550143".parse().unwrap();
    assert_eq!(
        reply.then,
        Action::Transfer(TransferRequest::Number(number))
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_is_no_phone_number_goes_nowhere() {
    for destination in [
        "sip:mallory@evil.example",
        "+1555000123\\r\\nRefer-To: sip:x",
        "911",
        "my brother",
        "tel:+1555",
    ] {
        let arguments = format!(r#"{{"destination": "{destination}"}}"#);
        let server = Server::start(vec![Script::Events(calls("transfer_call", &arguments))]).await;
        let mut brain = server.brain();
        let reply = hear(&mut brain, turn("My brother please")).await;
        assert_eq!(reply.then, Action::Listen, "{destination}");
        assert!(brain.expects_number(), "{destination}");
    }
}

#[tokio::test]
async fn the_end_call_tool_hangs_up_after_the_last_words() {
    let server = Server::start(vec![Script::Events(calls("end_call", "{}"))]).await;
    let reply = hear(&mut server.brain(), turn("I have to leave now")).await;
    assert_eq!(reply.say.as_deref(), Some("Goodbye."));
    assert_eq!(reply.then, Action::HangUp);
}

#[tokio::test]
async fn numbers_and_refusals_are_not_left_to_the_model() {
    let server = Server::start(vec![]).await;
    let mut brain = server.brain();
    let reply = hear(&mut brain, turn("Transfer me to +1 555 000 1234.")).await;
    assert!(
        reply
            .say
            .unwrap()
            .contains("five five five, zero zero zero")
    );
    let reply = hear(&mut brain, turn("No, don't transfer me.")).await;
    assert_eq!(reply.then, Action::Listen);
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn without_a_usable_answer_the_rules_answer() {
    let scripts = [
        Script::Status(401),
        Script::Status(429),
        Script::Status(500),
        Script::Garbage,
        Script::Broken(says(&["We are"])[..1].to_vec()),
        Script::Broken(vec![]),
        Script::Unfinished(says(&["We are"])[..1].to_vec()),
        Script::Events(vec![]),
        Script::Events(says(&["  "])),
        Script::Events(calls("launch_rocket", "{}")),
        Script::Events(calls("transfer_call", "{\"destination\": ")),
        Script::Events(calls("send_dtmf", r#"{"digits": "1"}"#)),
    ];
    for (n, script) in scripts.into_iter().enumerate() {
        let server = Server::start(vec![script]).await;
        let reply = hear(&mut server.brain(), turn("Transfer me.")).await;
        assert_eq!(
            reply.then,
            Action::Transfer(TransferRequest::Default),
            "script {n}"
        );
        assert_eq!(
            server.requests().len(),
            1,
            "script {n}: nothing is asked twice"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_answered_for_by_the_rules() {
    let server = Server::start(vec![]).await;
    let brain = server.brain();
    server.task.abort();
    drop(server);
    let mut brain = brain;
    let reply = hear(&mut brain, turn("Transfer me.")).await;
    assert_eq!(reply.then, Action::Transfer(TransferRequest::Default));
}

#[tokio::test]
async fn a_server_that_stalls_is_not_waited_for() {
    let server = Server::start(vec![Script::Silent]).await;
    let mut brain = server.brain();
    let before = tokio::time::Instant::now();
    let reply = hear(&mut brain, turn("Transfer me.")).await;
    assert_eq!(reply.then, Action::Transfer(TransferRequest::Default));
    assert!(before.elapsed() <= STALL_TIMEOUT + Duration::from_secs(1));
}

#[tokio::test]
async fn the_operators_words_come_first_and_a_tool_that_was_taken_away_is_gone() {
    let server = Server::start(vec![
        Script::Events(says(&["At nine."])),
        Script::Events(calls("end_call", "{}")),
    ])
    .await;
    let behaviour = "name = \"Max\"\ninstructions = \"You are {name} of the bakery.\"\n[tools]\nend_call = false";
    let mut brain = LlmBrain::new(
        LanguageModel::new(&server.settings),
        PolicySettings {
            behaviour: Behaviour::parse(behaviour).unwrap(),
            ..PolicySettings::default()
        },
    );
    hear(&mut brain, turn("When do you open?")).await;
    let reply = hear(&mut brain, turn("I have to leave now")).await;
    assert_eq!(reply.then, Action::Listen, "{reply:?}");

    let (_, body) = &server.requests()[0];
    let told = body["messages"][0]["content"].as_str().unwrap();
    assert!(
        told.starts_with("You are Max of the bakery. Answer in one or two short sentences"),
        "{told}"
    );
    assert!(
        told.contains("call transfer_call, without a destination"),
        "{told}"
    );
    assert!(told.ends_with(THE_SYSTEM_TRANSFERS), "{told}");
    assert!(!told.contains("end_call"), "{told}");
    let tools = body["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0]["function"]["name"], "transfer_call");
}

/// An agent that may press keys.
fn with_keys(server: &Server) -> LlmBrain {
    LlmBrain::new(
        LanguageModel::new(&server.settings),
        PolicySettings {
            behaviour: Behaviour::parse("[tools]\nsend_dtmf = true").unwrap(),
            ..PolicySettings::default()
        },
    )
}

#[tokio::test]
async fn a_model_that_may_press_keys_does_and_is_told_later_that_they_were_pressed() {
    let server = Server::start(vec![
        Script::Events(calls("send_dtmf", r#"{"digits": "1w2#"}"#)),
        Script::Events(says(&["Thank you."])),
    ])
    .await;
    let mut brain = with_keys(&server);
    let reply = hear(&mut brain, turn("For tickets, press the number.")).await;
    let keys: Keys = "1w2#".parse().unwrap();
    assert_eq!(reply.say, None);
    assert_eq!(reply.then, Action::PressKeys(keys.clone()));
    brain.pressed(&keys);
    hear(&mut brain, turn("You have chosen tickets.")).await;

    let requests = server.requests();
    let tools = requests[0].1["tools"].as_array().unwrap();
    assert_eq!(tools[2]["function"]["name"], "send_dtmf");
    let messages = requests[1].1["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "user"]);
    let call = &messages[2]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"digits":"1w2#"}"#);
    assert_eq!(messages[3]["tool_call_id"], call["id"]);
    assert_eq!(messages[3]["content"], "The keys were pressed.");
}

#[tokio::test]
async fn a_model_that_presses_what_is_no_key_is_told_so_and_may_correct_itself() {
    let server = Server::start(vec![
        Script::Events(calls("send_dtmf", r#"{"digits": "one"}"#)),
        Script::Events(calls("send_dtmf", r#"{"digits": "1"}"#)),
    ])
    .await;
    let reply = hear(&mut with_keys(&server), turn("Press the number.")).await;
    assert_eq!(reply.then, Action::PressKeys("1".parse().unwrap()));
    let (_, body) = &server.requests()[1];
    assert_eq!(
        body["messages"][3]["content"],
        "Error: `o` is no key of a telephone (0 to 9, * or #); w is a pause."
    );
}

#[tokio::test]
async fn what_was_forgotten_of_a_long_talk_leaves_no_answer_of_a_tool_without_its_call() {
    let server = Server::start(vec![Script::Events(says(&["Good."]))]).await;
    let mut brain = with_keys(&server);
    brain.pressed(&"1".parse().unwrap());
    for _ in 0..HISTORY - 1 {
        brain.said("And?");
    }
    hear(&mut brain, turn("Are you there?")).await;
    let (_, body) = &server.requests()[0];
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), HISTORY + 1, "{messages:#?}");
    assert_eq!(messages[1]["role"], "assistant");
}

/// Knows what a ticket costs, fails or takes for ever.
struct Price;

impl Tool for Price {
    fn name(&self) -> &'static str {
        "price"
    }

    fn description(&self) -> &'static str {
        "Says what a ticket costs."
    }

    fn parameters(&self) -> Value {
        json!({ "type": "object", "properties": { "to": { "type": "string" } } })
    }

    fn call(&self, arguments: Value) -> BoxFuture<'_, anyhow::Result<String>> {
        Box::pin(async move {
            match arguments["to"].as_str() {
                Some("Rome") => Ok("40 euros".to_owned()),
                Some("Hades") => pending().await,
                _ => anyhow::bail!("no train goes there"),
            }
        })
    }
}

fn with_price(server: &Server) -> LlmBrain {
    let model = LanguageModel::new(&server.settings).with_tools(vec![Arc::new(Price)]);
    LlmBrain::new(model, PolicySettings::default())
}

#[tokio::test]
async fn a_tool_of_ones_own_answers_the_model_and_the_model_the_person() {
    for (arguments, told) in [
        (r#"{"to": "Rome"}"#, "40 euros"),
        (r#"{"to": "Atlantis"}"#, "Error: no train goes there"),
        ("", "Error: no train goes there"),
        (r#"{"to": "Hades"}"#, "Error: price did not answer in time."),
        (
            r#"{"to": "#,
            "Error: the arguments are no JSON: EOF while parsing a value at line 1 column 6.",
        ),
    ] {
        let server = Server::start(vec![
            Script::Events(calls("price", arguments)),
            Script::Events(says(&["I see."])),
        ])
        .await;
        let reply = hear(&mut with_price(&server), turn("What is a ticket?")).await;
        assert_eq!(reply.say.as_deref(), Some("I see."), "{arguments}");
        assert_eq!(reply.then, Action::Listen);

        let requests = server.requests();
        let tools = requests[0].1["tools"].as_array().unwrap();
        assert_eq!(tools[2]["function"]["name"], "price");
        let messages = requests[1].1["messages"].as_array().unwrap();
        let [.., called, result] = messages.as_slice() else {
            panic!("{messages:?}");
        };
        assert_eq!(called["tool_calls"][0]["id"], "call_1");
        assert_eq!(called["tool_calls"][0]["type"], "function");
        assert_eq!(called["tool_calls"][0]["function"]["arguments"], arguments);
        assert_eq!(result["tool_call_id"], "call_1");
        assert_eq!(result["content"], told);
    }
}

#[tokio::test]
async fn what_a_model_says_before_a_tool_of_ones_own_is_told_and_the_model_knows_that() {
    let looks = [
        begins(&["Let me look"]),
        calls("price", r#"{"to": "Rome"}"#),
    ]
    .concat();
    let answers: [(Script, &str); 2] = [
        (
            Script::Events(says(&["It is 40 euros."])),
            "It is 40 euros.",
        ),
        (Script::Broken(vec![]), BROKEN_OFF),
    ];
    for (answer, expected) in answers {
        let server = Server::start(vec![Script::Events(looks.clone()), answer]).await;
        let mut brain = with_price(&server);
        let (sentences, end) = told(&mut brain, turn("What is a ticket?")).await;
        assert_eq!(sentences, ["Let me look"]);
        assert_eq!(end.say.as_deref(), Some(expected));
        let (_, body) = &server.requests()[1];
        assert_eq!(body["messages"][2]["content"], "Let me look");
        assert_eq!(body["messages"][3]["content"], "40 euros");
    }
}

#[tokio::test]
async fn a_model_that_does_nothing_but_call_tools_is_answered_for_by_the_rules() {
    let call = || Script::Events(calls("price", r#"{"to": "Rome"}"#));
    let server = Server::start(vec![call(), call(), call(), call(), call()]).await;
    let reply = hear(&mut with_price(&server), turn("Hello there")).await;
    assert!(reply.say.is_some());
    assert_eq!(server.requests().len(), TOOL_STEPS as usize + 1);
}

#[tokio::test]
async fn two_tools_of_one_name_are_refused() {
    struct Impostor;
    impl Tool for Impostor {
        fn name(&self) -> &'static str {
            "end_call"
        }
        fn description(&self) -> &'static str {
            ""
        }
        fn call(&self, _: Value) -> BoxFuture<'_, anyhow::Result<String>> {
            Box::pin(async { Ok(String::new()) })
        }
    }
    let server = Server::start(vec![]).await;
    let tools: [Vec<Arc<dyn Tool>>; 2] = [
        vec![Arc::new(Price), Arc::new(Price)],
        vec![Arc::new(Impostor)],
    ];
    for tools in tools {
        let model = LanguageModel::new(&server.settings);
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            model.with_tools(tools);
        }));
        assert!(refused.is_err());
    }
}
