//! For tests: a process on loopback that speaks LiveKit's Twirp API and records what it was asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use prost::Message;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::call::Api;

/// What the server says to one method.
pub(crate) enum Answer {
    Ok(Vec<u8>),
    /// Twirp code, text, and the SIP status of `meta`.
    Error(u16, &'static str, &'static str, Option<u16>),
}

impl Answer {
    pub(crate) fn ok(message: &impl Message) -> Self {
        Self::Ok(message.encode_to_vec())
    }

    fn http(self) -> Vec<u8> {
        let (status, content_type, body) = match self {
            Self::Ok(body) => (200, "application/protobuf", body),
            Self::Error(status, code, msg, sip_status) => {
                let meta = sip_status
                    .map(|status| ("sip_status_code", status.to_string()))
                    .into_iter()
                    .collect::<HashMap<_, _>>();
                let body = serde_json::json!({ "code": code, "msg": msg, "meta": meta });
                (status, "application/json", body.to_string().into_bytes())
            }
        };
        let mut http = format!(
            "HTTP/1.1 {status} .\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        http.extend(body);
        http
    }
}

struct Request {
    /// Such as `SIP/CreateSIPParticipant`.
    method: String,
    body: Vec<u8>,
}

pub(crate) struct TwirpServer {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    _task: JoinSet<()>,
}

impl TwirpServer {
    /// `answer` gets the method, such as `SIP/CreateSIPParticipant`.
    pub(crate) async fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let record = requests.clone();
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                let answer = answer(&request.method).http();
                record.lock().unwrap().push(request);
                stream.write_all(&answer).await.unwrap();
            }
        });
        Self {
            url,
            requests,
            _task: task,
        }
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url, "key", "0123456789abcdef0123456789abcdef")
    }

    /// The methods that were called, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .map(|request| request.method.clone())
            .collect()
    }

    /// The last request to `method`.
    pub(crate) fn request<M: Message + Default>(&self, method: &str) -> M {
        let requests = self.requests.lock().unwrap();
        let request = requests
            .iter()
            .rev()
            .find(|request| request.method == method)
            .unwrap();
        M::decode(&request.body[..]).unwrap()
    }
}

async fn read_request(stream: &mut TcpStream) -> Request {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let path = line.split(' ').nth(1).unwrap();
    let method = path.strip_prefix("/twirp/livekit.").unwrap().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Request { method, body }
}
