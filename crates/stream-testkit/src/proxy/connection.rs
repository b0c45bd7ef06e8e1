//! One connection of a client through the proxy: a thread for its requests, a thread for the answers.
//!
//! The end of the client's side is passed on as the end of what we send, not as a cut: the broker still answers what
//! it was asked, so that a request counts as done even if nobody waits for it. A request that was held until its
//! client had given up reaches the broker that way, too.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stream_core::thread::spawn;

use super::frame::{Head, correlation, read_frame};
use super::requests::Fault;
use super::shared::{Action, Shared};

/// How long a copy of a request waits for its answer; some requests have none.
const COPY_PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Connection {
    client: TcpStream,
    broker: TcpStream,
    /// Requests that the broker has not answered yet, by correlation id.
    asked: Mutex<BTreeMap<i32, Asked>>,
}

/// A request that waits for its answer.
struct Asked {
    key: i16,
    client: String,
    answer: Answer,
}

/// What becomes of an answer.
#[derive(Clone, Copy)]
enum Answer {
    Pass,
    Drop,
    Cut,
}

impl Connection {
    /// Serves a client until one side ends; returns at once.
    pub(super) fn serve(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(shared.broker)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let connection = Arc::new(Connection { client, broker, asked: Mutex::default() });
        if !shared.admit(&connection) {
            return Ok(());
        }
        let (up, down) = ((shared.clone(), connection.clone()), (shared.clone(), connection));
        let requests = move || {
            // Whatever ends the requests, the answers to those that were passed on may still come.
            let _ = up.1.pass_requests(&up.0);
            let _ = up.1.broker.shutdown(Shutdown::Write);
        };
        let answers = move || {
            let _ = down.1.pass_answers(&down.0);
            down.1.cut();
            down.0.forget(&down.1);
        };
        spawn("kafka-proxy-requests", requests).map_err(io::Error::other)?;
        spawn("kafka-proxy-answers", answers).map_err(io::Error::other)?;
        Ok(())
    }

    /// Ends both sides; what is under way is lost.
    pub(super) fn cut(&self) {
        self.cut_client();
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    /// Ends the client's side only. An error says that it has ended already.
    pub(super) fn cut_client(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
    }

    fn pass_requests(self: &Arc<Self>, shared: &Arc<Shared>) -> io::Result<()> {
        while let Some(frame) = read_frame(&mut &self.client)? {
            let head = Head::of(&frame).ok_or(ErrorKind::InvalidData)?;
            let mut answer = Answer::Pass;
            match shared.arrived(&head) {
                Action::Pass => {}
                Action::Hold(rule) => shared.hold(rule, self),
                Action::Fail(Fault::DropRequest) => continue,
                Action::Fail(Fault::DropResponse) => answer = Answer::Drop,
                Action::Fail(Fault::CloseAfterRequest) => answer = Answer::Cut,
                Action::Fail(Fault::DelayRequest(time)) => shared.pause(time),
                Action::Fail(Fault::DuplicateLater(time)) => copy_later(shared.clone(), frame.clone(), time)?,
                Action::Fail(Fault::Stall(time)) => shared.stall(time),
            }
            shared.wait_for_stall();
            let asked = Asked { key: head.key, client: head.client.to_owned(), answer };
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(head.correlation, asked);
            (&self.broker).write_all(&frame)?;
        }
        Ok(())
    }

    fn pass_answers(&self, shared: &Shared) -> io::Result<()> {
        while let Some(frame) = read_frame(&mut &self.broker)? {
            let id = correlation(&frame).ok_or(ErrorKind::InvalidData)?;
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let asked = asked.ok_or(ErrorKind::InvalidData)?;
            shared.answered(asked.key, &asked.client);
            match asked.answer {
                Answer::Pass => {
                    shared.wait_for_stall();
                    // A client that has gone does not end what the broker does for it.
                    let _ = (&self.client).write_all(&frame);
                }
                Answer::Drop => {}
                Answer::Cut => break,
            }
        }
        Ok(())
    }
}

fn copy_later(shared: Arc<Shared>, frame: Vec<u8>, time: Duration) -> io::Result<()> {
    let send = move || -> io::Result<()> {
        shared.pause(time);
        shared.wait_for_stall();
        if shared.closed() {
            return Ok(());
        }
        let mut broker = TcpStream::connect(shared.broker)?;
        broker.set_read_timeout(Some(COPY_PATIENCE))?;
        broker.write_all(&frame)?;
        if read_frame(&mut broker)?.is_some() {
            shared.copy_answered();
        }
        Ok(())
    };
    // A copy that the broker does not take shows in `copies`, which a test waits for.
    spawn("kafka-proxy-copy", move || drop(send())).map_err(io::Error::other)?;
    Ok(())
}
