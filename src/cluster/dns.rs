//! One question to a DNS server over UDP, asked here and not by the system's resolver, which may not know the server.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};
use tokio::net::UdpSocket;

/// DNS servers answer here.
const PORT: u16 = 53;

/// The A record of a name, as this server has it. Waits for as long as the server is silent.
pub(super) async fn resolve(server: IpAddr, name: &str) -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(SocketAddr::new(server, PORT)).await?;
    socket.send(&query(name)).await?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await?;
    answer(&buffer[..length])
}

/// A question for the A record (RFC 1035, section 4).
fn query(name: &str) -> Vec<u8> {
    let mut packet = vec![0x62, 0x71, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// The first A record of an answer. A cluster's own names need no chain of aliases, so it is the last four bytes of the
/// first answer; additional records are skipped by counting.
fn answer(packet: &[u8]) -> anyhow::Result<IpAddr> {
    ensure!(packet.len() >= 12, "the DNS answer is too short");
    let code = packet[3] & 0x0f;
    ensure!(code == 0, "DNS answers with code {code}");
    ensure!(u16::from_be_bytes([packet[6], packet[7]]) > 0, "DNS has no such record");
    let mut at = skip_name(packet, 12)? + 4;
    at = skip_name(packet, at)?;
    let header = packet.get(at..at + 10).context("the DNS answer is cut off")?;
    let length = usize::from(u16::from_be_bytes([header[8], header[9]]));
    match (header[1], packet.get(at + 10..at + 10 + length)) {
        (1, Some([a, b, c, d])) => Ok(IpAddr::from([*a, *b, *c, *d])),
        _ => bail!("the DNS answer is no A record"),
    }
}

fn skip_name(packet: &[u8], mut at: usize) -> anyhow::Result<usize> {
    loop {
        let length = *packet.get(at).context("the DNS answer is cut off")?;
        match length {
            0 => return Ok(at + 1),
            length if length & 0xc0 == 0xc0 => return Ok(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut packet = query("kubernetes.default.svc.cluster.local");
        packet[2] = 0x85;
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 0, 1]);
        packet
    }

    #[test]
    fn the_address_is_read() {
        assert_eq!(answer(&packet()).unwrap(), IpAddr::from([10, 96, 0, 1]));
    }

    #[test]
    fn a_cut_off_answer_is_an_error_at_every_byte() {
        let whole = packet();
        for length in 0..whole.len() {
            assert!(answer(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn no_such_name_is_said() {
        let mut packet = packet();
        packet[3] = 3;
        assert_eq!(answer(&packet).unwrap_err().to_string(), "DNS answers with code 3");
    }
}
