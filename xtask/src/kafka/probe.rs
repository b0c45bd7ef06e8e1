//! Asks a broker in its own protocol which brokers it knows: the one honest sign that it serves clients.
//!
//! An open port is not enough. A broker listens before the controller has let it in, and a client that comes in
//! between waits for its own back-off.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(1000);
/// No answer to this question is larger; it bounds what a stray server on the port can make us allocate.
const MAX_ANSWER: usize = 1 << 20;

/// The ids of the brokers that the broker at 127.0.0.1:`port` knows as members of its cluster. A cluster that asks for
/// them is told user and password.
pub(crate) fn known_brokers(port: u16, user: Option<(&str, &str)>) -> io::Result<Vec<i32>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if let Some((user, password)) = user {
        for request in sasl_requests(user, password) {
            // Correlation id, then an error code, whatever the rest.
            if ask(&mut stream, &request)?.get(4..6) != Some(&[0, 0]) {
                return Err(io::Error::other("the user was refused"));
            }
        }
    }
    let answer = ask(&mut stream, &metadata_request())?;
    broker_ids(&answer).ok_or_else(|| io::Error::other("not an answer of Kafka"))
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_ANSWER {
        return Err(io::Error::other("not an answer of Kafka"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// A Metadata request, version 1, that asks for no topic.
fn metadata_request() -> Vec<u8> {
    request(3, 1, &0_i32.to_be_bytes())
}

/// SaslHandshake, version 1, and SaslAuthenticate, version 0, by PLAIN.
fn sasl_requests(user: &str, password: &str) -> [Vec<u8>; 2] {
    let token = format!("\0{user}\0{password}");
    let handshake = [&5_i16.to_be_bytes()[..], b"PLAIN"].concat();
    let authenticate = [&(token.len() as i32).to_be_bytes()[..], token.as_bytes()].concat();
    [request(17, 1, &handshake), request(36, 0, &authenticate)]
}

fn request(api: i16, version: i16, content: &[u8]) -> Vec<u8> {
    let client = b"xtask";
    let mut body = Vec::new();
    body.extend(api.to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(0_i32.to_be_bytes()); // correlation id
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(content);
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// The broker ids in a Metadata answer, version 1: correlation id, then (id, host, port, rack) per broker.
fn broker_ids(answer: &[u8]) -> Option<Vec<i32>> {
    let mut rest = answer.get(4..)?;
    let count = take_i32(&mut rest)?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(take_i32(&mut rest)?);
        skip_string(&mut rest)?;
        take_i32(&mut rest)?;
        skip_string(&mut rest)?;
    }
    ids.sort_unstable();
    Some(ids)
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(i32::from_be_bytes(*head))
}

/// A length of -1 is Kafka's null.
fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let (head, tail) = rest.split_first_chunk::<2>()?;
    let length = usize::try_from(i16::from_be_bytes(*head)).unwrap_or(0);
    *rest = tail.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_brokers_of_an_answer() {
        let mut answer = vec![0, 0, 0, 0, 0, 0, 0, 2];
        for id in [2_u8, 1] {
            answer.extend([0, 0, 0, id, 0, 1, b'h', 0, 0, 1, 0, 0xff, 0xff]);
        }
        answer.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(broker_ids(&answer), Some(vec![1, 2]));
    }

    #[test]
    fn a_short_answer_is_no_answer() {
        assert_eq!(broker_ids(&[0, 0, 0, 0, 0, 0, 0, 1, 0]), None);
        assert_eq!(broker_ids(b"HT"), None);
    }

    #[test]
    fn the_request_carries_its_own_length() {
        for request in sasl_requests("u", "p").into_iter().chain([metadata_request()]) {
            let length = u32::from_be_bytes([request[0], request[1], request[2], request[3]]);
            assert_eq!(request.len(), 4 + length as usize);
        }
    }
}
