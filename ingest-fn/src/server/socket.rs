//! A connection's socket, as hyper uses it: sees when a head begins, replaces hyper's own answers, and lingers at the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::{Connection, HEAD_BYTES, Phase};
use super::unreadable::instead_of;

/// How much is read and discarded after the last answer.
const LINGER_BYTES: usize = 4 * shared::limits::BODY_BYTES;

pub(super) struct Socket {
    tcp: TcpStream,
    connection: Arc<Connection>,
    /// What is left of what is written instead of hyper's bytes.
    instead: Bytes,
    discarded: usize,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, connection: Arc<Connection>) -> Self {
        Self { tcp, connection, instead: Bytes::new(), discarded: 0 }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if buffer.filled().len() > before && self.connection.is_in(Phase::Idle) {
            self.connection.begin(Phase::Head);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_empty()
            && this.connection.is_in(Phase::Head)
            && let Some(instead) = instead_of(bytes)
        {
            this.instead = instead.into();
        }
        if this.instead.is_empty() {
            return Pin::new(&mut this.tcp).poll_write(context, bytes);
        }
        while !this.instead.is_empty() {
            let written = ready!(Pin::new(&mut this.tcp).poll_write(context, &this.instead))?;
            this.instead.advance(written);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    /// Ends only when the client has ended too, or there was too much to discard, or at the deadline.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.connection.is_in(Phase::Closing) {
            ready!(Pin::new(&mut this.tcp).poll_shutdown(context))?;
            if this.connection.is_idle_at_stop() {
                return Poll::Ready(Ok(()));
            }
            this.connection.begin(Phase::Closing);
        }
        let mut scratch = [0; HEAD_BYTES];
        while this.discarded < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.tcp).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                read => this.discarded += read,
            }
        }
        Poll::Ready(Ok(()))
    }
}
