//! redb, fjall and SQLite on the same directory, with durable writes: the figures that `cargo bench -p vouchsafe-store` is to be read beside.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fjall::{Config, PartitionCreateOptions, PersistMode};
use redb::TableDefinition;

const KEYS: u64 = 100_000;
const READS: u64 = 300_000;
const WRITES: u64 = 100;
const WRITERS: u64 = 64;

fn name(i: u64) -> String {
    format!("kv/team/{i:08}")
}

fn main() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    redb(&place.path().join("redb"));
    fjall(&place.path().join("fjall"));
    sqlite(&place.path().join("sqlite"));
}

fn say(peer: &str, what: &str, count: u64, time: Duration) {
    let rate = count as f64 / time.as_secs_f64();
    println!("{peer:8} {what:24} {rate:12.0} /s");
}

fn reads(peer: &str, mut read: impl FnMut(&str) -> Vec<u8>) {
    let names: Vec<String> = (0..10_000).map(|i| name(i * 7_919 % KEYS)).collect();
    let start = Instant::now();
    for i in 0..READS {
        black_box(read(&names[usize::try_from(i % 10_000).unwrap()]));
    }
    say(peer, "point reads", READS, start.elapsed());
}

fn writes(peer: &str, write: impl Fn(u64) + Send + Sync) {
    let start = Instant::now();
    for i in 0..WRITES {
        write(i);
    }
    say(peer, "durable, one writer", WRITES, start.elapsed());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let write = &write;
            scope.spawn(move || {
                for i in 0..WRITES / 10 {
                    write(writer * 1_000 + i);
                }
            });
        }
    });
    say(peer, "durable, 64 writers", WRITERS * (WRITES / 10), start.elapsed());
}

fn redb(place: &Path) {
    const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
    let database = redb::Database::create(place).unwrap();
    let fill = database.begin_write().unwrap();
    {
        let mut table = fill.open_table(TABLE).unwrap();
        for i in 0..KEYS {
            table.insert(name(i).as_str(), [7; 200].as_slice()).unwrap();
        }
    }
    fill.commit().unwrap();
    let look = database.begin_read().unwrap();
    let table = look.open_table(TABLE).unwrap();
    reads("redb", |name| table.get(name).unwrap().unwrap().value().to_vec());
    writes("redb", |i| {
        let one = database.begin_write().unwrap();
        one.open_table(TABLE).unwrap().insert(name(i).as_str(), [8; 200].as_slice()).unwrap();
        one.commit().unwrap();
    });
}

fn fjall(place: &Path) {
    let keyspace = Config::new(place).open().unwrap();
    let secrets = keyspace.open_partition("secrets", PartitionCreateOptions::default()).unwrap();
    for i in 0..KEYS {
        secrets.insert(name(i), [7; 200]).unwrap();
    }
    keyspace.persist(PersistMode::SyncAll).unwrap();
    reads("fjall", |name| secrets.get(name).unwrap().unwrap().to_vec());
    writes("fjall", |i| {
        secrets.insert(name(i), [8; 200]).unwrap();
        keyspace.persist(PersistMode::SyncAll).unwrap();
    });
}

fn sqlite(place: &Path) {
    let open = || {
        let connection = rusqlite::Connection::open(place).unwrap();
        connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;").unwrap();
        connection
    };
    let mut connection = open();
    connection
        .execute_batch("CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;")
        .unwrap();
    let fill = connection.transaction().unwrap();
    for i in 0..KEYS {
        fill.execute("INSERT INTO secrets VALUES (?1, ?2)", (name(i), [7_u8; 200])).unwrap();
    }
    fill.commit().unwrap();
    {
        let mut select = connection.prepare("SELECT value FROM secrets WHERE name = ?1").unwrap();
        reads("sqlite", |name| select.query_row([name], |row| row.get(0)).unwrap());
    }
    let shared = Arc::new(Mutex::new(connection));
    writes("sqlite", |i| {
        let connection = shared.lock().unwrap();
        connection
            .execute("INSERT OR REPLACE INTO secrets VALUES (?1, ?2)", (name(i), [8_u8; 200]))
            .unwrap();
    });
}
