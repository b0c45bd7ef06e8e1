//! Kafka's frames: four bytes of length, then the request or the answer. Only as much is read as the proxy needs.
//!
//! ```text
//! request:  length  api key i16  api version i16  correlation id i32  client id i16 + text  …
//! answer:   length  correlation id i32  …
//! ```

use std::io::{self, ErrorKind, Read};

/// The broker's own limit for a request (`socket.request.max.bytes`). It bounds what a stray client can make us allocate.
const MAX_FRAME: usize = 100 << 20;

/// Reads one frame, its length included. `None` where the stream ends between two frames.
pub(super) fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut frame = Vec::new();
    stream.by_ref().take(4).read_to_end(&mut frame)?;
    let length = match frame.first_chunk() {
        Some(length) => u32::from_be_bytes(*length) as usize,
        None if frame.is_empty() => return Ok(None),
        None => return Err(ErrorKind::UnexpectedEof.into()),
    };
    if length > MAX_FRAME {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes is none of Kafka's")));
    }
    stream.by_ref().take(length as u64).read_to_end(&mut frame)?;
    if frame.len() == 4 + length { Ok(Some(frame)) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'f> {
    pub(super) key: i16,
    pub(super) correlation: i32,
    /// Empty if the client has not said who it is.
    pub(super) client: &'f str,
}

impl Head<'_> {
    /// The head of the request in `frame`, if it has one.
    pub(super) fn of(frame: &[u8]) -> Option<Head<'_>> {
        let key = i16::from_be_bytes(*frame.get(4..)?.first_chunk()?);
        let correlation = i32::from_be_bytes(*frame.get(8..)?.first_chunk()?);
        // Negative for a client without a name.
        let length = i16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
        let client = frame.get(14..)?.get(..usize::try_from(length).unwrap_or(0))?;
        Some(Head { key, correlation, client: std::str::from_utf8(client).ok()? })
    }
}

/// The correlation id of the answer in `frame`, if it has one.
pub(super) fn correlation(frame: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(*frame.get(4..)?.first_chunk()?))
}

/// A request without a body, for tests.
#[cfg(test)]
pub(super) fn request(key: i16, correlation: i32, client: &str) -> Vec<u8> {
    let (key, version, id) = (key.to_be_bytes(), 0_i16.to_be_bytes(), correlation.to_be_bytes());
    let length = i16::try_from(client.len()).unwrap().to_be_bytes();
    framed(&[&key[..], &version, &id, &length, client.as_bytes()].concat())
}

/// `content` with its length before it, for tests.
#[cfg(test)]
pub(super) fn framed(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut stream: impl Read) -> (Vec<Vec<u8>>, io::Result<()>) {
        let mut frames = Vec::new();
        loop {
            match read_frame(&mut stream) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, Ok(())),
                Err(error) => return (frames, Err(error)),
            }
        }
    }

    fn three() -> [Vec<u8>; 3] {
        [request(26, 7, "job-a"), framed(b""), request(0, 8, "")]
    }

    #[test]
    fn frames_arrive_whole_in_whatever_pieces_they_come() {
        let (sent, bytes) = (three(), three().concat());
        for at in 0..=bytes.len() {
            let (frames, end) = frames(bytes[..at].chain(&bytes[at..]));
            assert_eq!(frames, sent, "cut at {at}");
            end.unwrap();
        }
    }

    #[test]
    fn a_stream_may_end_between_frames_only() {
        let (sent, bytes) = (three(), three().concat());
        let ends: Vec<usize> = (0..=sent.len()).map(|count| sent[..count].concat().len()).collect();
        for at in 0..=bytes.len() {
            let (frames, end) = frames(&bytes[..at]);
            assert_eq!(frames.len(), ends.iter().filter(|end| **end <= at).count() - 1, "cut at {at}");
            match end {
                Ok(()) => assert!(ends.contains(&at), "cut at {at}"),
                Err(error) => assert_eq!((error.kind(), ends.contains(&at)), (ErrorKind::UnexpectedEof, false)),
            }
        }
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused() {
        let error = read_frame(&mut &b"GET / HTTP/1.1\r\n"[..]).unwrap_err();
        assert_eq!(error.to_string(), "a frame of 1195725856 bytes is none of Kafka's");
    }

    #[test]
    fn a_head_is_read_or_missing_but_never_wrong() {
        let whole = request(26, 7, "job-a");
        assert_eq!(Head::of(&whole), Some(Head { key: 26, correlation: 7, client: "job-a" }));
        for at in 0..whole.len() {
            assert_eq!(Head::of(&whole[..at]), None, "cut at {at}");
        }
        // Without a name: the length of the name is -1.
        let nameless = framed(&[0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff]);
        assert_eq!(Head::of(&nameless), Some(Head { key: 3, correlation: 9, client: "" }));
        assert_eq!(correlation(&framed(&[0, 0, 0, 9, 1])), Some(9));
        assert_eq!(correlation(&framed(&[0, 0, 0])), None);
    }
}
