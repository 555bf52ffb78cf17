//! HTTP/1.1 as it is needed here: reading a request, for the doubles of cloud vendors, and making one.

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The double of a vendor: a server on loopback, until it is dropped.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    _task: JoinSet<()>,
}

impl Server {
    /// Has `answer` serve each connection, several at the same time. A client may go at any time, so a failure of
    /// `answer` ends its connection and nothing else.
    pub async fn start<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            origin,
            _task: task,
        })
    }
}

/// Reads a request whose body, if there is one, has a `Content-Length` (RFC 9112 §6.3). Returns head and body.
pub async fn read_request(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head).await? > 0, "no request");
    }
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
    stream.read_exact(&mut body).await?;
    Ok((head, body))
}

/// Gets `path` from the server at `address`, and returns the body of a 200.
pub async fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").context("no response")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{path} answers: {head}");
    Ok(body.to_owned())
}

/// Posts `body` to `path` of the server at `address`, and reads its answer to the end, which must be a 200. `headers`
/// have a line end each.
pub async fn post(address: &str, path: &str, headers: &str, body: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    ensure!(
        response.starts_with(b"HTTP/1.1 200 "),
        "{path} answers: {}",
        String::from_utf8_lossy(&response[..response.len().min(500)])
    );
    Ok(())
}
