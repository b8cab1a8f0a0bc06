//! Open status pages, as browsers keep them: a stream of events each, and the page again at each event.
//! They run in the benchmark's process, so that the daemon's memory and CPU time are its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

/// A port that was free just now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Opens so many; they are closed when the daemon is.
pub(crate) fn open(address: SocketAddr, count: usize) -> anyhow::Result<()> {
    let patience = Instant::now() + Duration::from_secs(10);
    // The pages are served a moment after the daemon is ready.
    while count > 0 && look(address).is_err() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..count {
        look(address)?;
        let events = BufReader::new(get(address, "/events")?);
        thread::spawn(move || {
            for line in events.lines() {
                match line {
                    Ok(line) if line.starts_with("data:") => drop(look(address)),
                    Ok(_) => {}
                    // The daemon has ended.
                    Err(_) => break,
                }
            }
        });
    }
    Ok(())
}

fn look(address: SocketAddr) -> anyhow::Result<()> {
    let mut page = String::new();
    get(address, "/")?.read_to_string(&mut page)?;
    ensure!(page.starts_with("HTTP/1.1 200"), "no page: {page:.80}");
    Ok(())
}

fn get(address: SocketAddr, path: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    Ok(stream)
}
