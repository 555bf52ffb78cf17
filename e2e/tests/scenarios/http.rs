//! What the doubles of cloud vendors share: reading a request of HTTP/1.1.

use anyhow::ensure;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
};

/// Reads a request whose body, if there is one, has a `Content-Length` (RFC 9112 §6.3). Returns head and body.
pub(crate) async fn read_request(
    stream: &mut BufReader<TcpStream>,
) -> anyhow::Result<(String, Vec<u8>)> {
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
