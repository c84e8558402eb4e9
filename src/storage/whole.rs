//! Reads and writes of whole ranges, however many calls they take.

use std::io;

use super::raw::RawFile;
use super::traits::StorageFile;

/// Writes all of `bytes` at `offset` and makes them durable, by writes that sync by themselves:
/// one, unless it comes out short.
///
/// No error is retried, an interruption neither: each may be a sync's.
pub(crate) fn write_all_durable_at(file: RawFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    write_all_durable(bytes, offset, |bytes, offset| {
        file.write_durable_at(bytes, offset)
    })
}

fn write_all_durable(
    bytes: &[u8],
    offset: u64,
    mut write_durable_at: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write_durable_at(&bytes[done..], offset + done as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => done += written,
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`, however many calls it takes.
pub(crate) fn write_all_at(file: &dyn StorageFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    write_all(bytes, offset, |bytes, offset| file.write_at(bytes, offset))
}

/// [`write_all_at`] with another call than the file's own.
pub(crate) fn write_all(
    bytes: &[u8],
    offset: u64,
    write_at: impl Fn(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `bytes` from `offset`, however many calls it takes.
pub(crate) fn read_exact_at(
    file: &dyn StorageFile,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `bytes` from `offset` if all of it is in memory already, and says whether it did.
pub(crate) fn read_cached_exact_at(file: &dyn StorageFile, bytes: &mut [u8], offset: u64) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_cached_at(&mut bytes[done..], offset + done as u64) {
            None | Some(0) => return false,
            Some(read) => done += read,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;

    use super::{write_all, write_all_durable};

    #[test]
    fn each_short_write_is_followed_by_the_rest() {
        let asked = RefCell::new(Vec::new());
        let written = write_all(&[0; 4096], 8192, |bytes, offset| {
            asked.borrow_mut().push((offset, bytes.len()));
            Ok(bytes.len().min(1500))
        });
        written.unwrap();
        let expected = [(8192, 4096), (9692, 2596), (11_192, 1096)];
        assert_eq!(asked.into_inner(), expected);
    }

    #[test]
    fn a_short_write_is_followed_by_the_rest_and_no_error_by_anything() {
        let mut asked = Vec::new();
        let written = write_all_durable(&[0; 4096], 8192, |bytes, offset| {
            asked.push((offset, bytes.len()));
            Ok(bytes.len().min(1024))
        });
        written.unwrap();
        assert_eq!(
            asked,
            [(8192, 4096), (9216, 3072), (10_240, 2048), (11_264, 1024)]
        );
        for kind in [io::ErrorKind::Interrupted, io::ErrorKind::StorageFull] {
            let mut asked = 0;
            let written = write_all_durable(&[0; 4096], 0, |_, _| {
                asked += 1;
                Err(kind.into())
            });
            assert_eq!((written.unwrap_err().kind(), asked), (kind, 1));
        }
        let written = write_all_durable(&[0; 4096], 0, |_, _| Ok(0));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
