//! An agent inside this process, at the other end of a pipe in memory: the real agent's code without a machine.

use async_trait::async_trait;
use tokio::io::DuplexStream;

use super::{Connection, Connector, Target};

/// Bytes that fit into the pipe before a writer waits.
const CAPACITY: usize = 1024 * 1024;

/// Gives every connection's far end to a function, which starts an agent on it and returns at once.
pub struct PipeConnector {
    start: Box<dyn Fn(Target, DuplexStream) + Send + Sync>,
}

impl PipeConnector {
    /// `start` is called inside the runtime, so it may spawn tasks.
    pub fn new(start: impl Fn(Target, DuplexStream) + Send + Sync + 'static) -> Self {
        PipeConnector { start: Box::new(start) }
    }
}

#[async_trait]
impl Connector for PipeConnector {
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let (near, far) = tokio::io::duplex(CAPACITY);
        (self.start)(target.clone(), far);
        let (reader, writer) = tokio::io::split(near);
        Ok(Connection { reader: Box::new(reader), writer: Box::new(writer) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, read_frame, write_frame};

    #[tokio::test]
    async fn the_function_gets_the_far_end_and_its_end_is_seen() {
        let connector = PipeConnector::new(|target, mut stream| {
            tokio::spawn(async move {
                let frame = read_frame(&mut stream).await.unwrap().unwrap();
                assert_eq!(frame, Frame::Message(target.name.into_bytes()));
                write_frame(&mut stream, &Frame::End).await.unwrap();
            });
        });
        let target = Target {
            name: "m1".into(),
            address: "10.0.0.1".into(),
            port: 22,
            user: "root".into(),
            key: None,
            known_hosts: vec![],
            ..Target::default()
        };
        let mut connection = connector.connect(&target).await.unwrap();
        write_frame(&mut connection.writer, &Frame::Message(b"m1".to_vec())).await.unwrap();
        assert_eq!(read_frame(&mut connection.reader).await.unwrap(), Some(Frame::End));
        assert_eq!(read_frame(&mut connection.reader).await.unwrap(), None);
    }
}
