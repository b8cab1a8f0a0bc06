//! The newest value of each token, shared by threads. It knows no place to read from but a `TokenSource`.

use super::source::Place;
use super::{Secret, TokenError, TokenId, TokenSource};
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Reads the environment.
pub type Env = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Each token's source and the value that was last read there. Shared by threads; a lock is never held while a file
/// is read.
pub struct Tokens {
    env: Env,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    tokens: BTreeMap<TokenId, Token>,
    /// How many values were ever taken, over all tokens: so a token that goes and comes back has a new generation too.
    generations: u64,
}

#[derive(Clone)]
struct Token {
    source: TokenSource,
    value: Option<Value>,
}

#[derive(Clone)]
struct Value {
    secret: Secret,
    generation: u64,
    stamp: Option<Stamp>,
}

/// Tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    len: u64,
    device: u64,
    inode: u64,
}

impl Stamp {
    fn of(file: &Metadata) -> Stamp {
        Stamp {
            modified: (file.mtime(), file.mtime_nsec()),
            len: file.len(),
            device: file.dev(),
            inode: file.ino(),
        }
    }
}

impl Tokens {
    pub fn new(sources: BTreeMap<TokenId, TokenSource>, env: Env) -> Tokens {
        let tokens = Tokens {
            env,
            held: RwLock::default(),
        };
        tokens.replace(sources);
        tokens
    }

    /// The value that its source holds now.
    pub fn current(&self, id: &TokenId) -> Result<Secret, TokenError> {
        self.look(id).map(|value| value.secret)
    }

    /// The token with its generation, at one look.
    ///
    /// # Errors
    /// As [`Tokens::current`].
    pub fn current_of_generation(&self, id: &TokenId) -> Result<(Secret, u64), TokenError> {
        self.look(id).map(|value| (value.secret, value.generation))
    }

    /// Grows with each new value that the source holds, and 0 where it holds none. Asked for before `current`, it can
    /// be older than what that returns, and never newer: after a 401, a greater one means that a new value is there.
    pub fn generation(&self, id: &TokenId) -> u64 {
        self.look(id).map_or(0, |value| value.generation)
    }

    /// The sources of a reloaded daemon's file. A value that stays the same keeps its generation.
    pub fn replace(&self, sources: BTreeMap<TokenId, TokenSource>) {
        let mut held = self.write();
        let mut old = std::mem::take(&mut held.tokens);
        let renewed = sources.into_iter().map(|(id, source)| {
            let value = old.remove(&id).and_then(|token| token.value);
            // Without its stamp, it is read once more and compared.
            let value = value.map(|value| Value {
                stamp: None,
                ..value
            });
            (id, Token { source, value })
        });
        held.tokens = renewed.collect();
    }

    fn look(&self, id: &TokenId) -> Result<Value, TokenError> {
        let token = self.read().tokens.get(id).cloned();
        let Token { source, value } = token.ok_or_else(|| TokenError::NoSource(id.clone()))?;

        let place = source.place(&self.env)?;
        // Taken before the file is read: a file that changes in between is read once more next time.
        let stamp = match &place {
            Place::File(path) => Some(Stamp::of(&source.metadata(path)?)),
            Place::Text(_) => None,
        };
        // A file is known by its stamp, a text by itself.
        let known = match value.filter(|value| value.stamp == stamp) {
            Some(value) if stamp.is_some() => return Ok(value),
            known => known,
        };
        let secret = source.read_at(&place)?;
        match known {
            Some(value) if value.secret == secret => Ok(value),
            _ => Ok(self.take(id, &source, secret, stamp)),
        }
    }

    fn take(
        &self,
        id: &TokenId,
        source: &TokenSource,
        secret: Secret,
        stamp: Option<Stamp>,
    ) -> Value {
        let mut held = self.write();
        let known = held
            .tokens
            .get(id)
            .and_then(|token| token.value.as_ref())
            .filter(|value| value.secret == secret);
        let generation = known.map_or(held.generations + 1, |value| value.generation);
        held.generations = held.generations.max(generation);
        let value = Value {
            secret,
            generation,
            stamp,
        };
        // Its source may have been replaced while this one was read.
        if let Some(token) = held
            .tokens
            .get_mut(id)
            .filter(|token| token.source == *source)
        {
            token.value = Some(value.clone());
        }
        value
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Tokens {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let held = self.read();
        f.debug_map()
            .entries(held.tokens.iter().map(|(id, token)| (id, &token.source)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    struct World {
        folder: tempfile::TempDir,
        env: Arc<Mutex<Option<String>>>,
        tokens: Tokens,
    }

    impl World {
        fn new() -> World {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let env = Arc::new(Mutex::new(None));
            let seen = Arc::clone(&env);
            let env_fn = move |_: &str| seen.lock().expect("no holder panics").clone();
            let tokens = Tokens::new(sources(folder.path()), Box::new(env_fn));
            World {
                folder,
                env,
                tokens,
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("token")
        }

        /// As a careful rotation does it.
        fn replace_file(&self, token: &str) {
            let new = self.folder.path().join("new");
            fs::write(&new, token).expect("a file for the test");
            fs::rename(new, self.path()).expect("a file for the test");
        }

        #[track_caller]
        fn check(&self, id: &TokenId, token: &str, generation: u64) {
            assert_eq!(
                self.tokens.current(id).expect("it is there").expose(),
                token
            );
            assert_eq!(self.tokens.generation(id), generation);
        }
    }

    fn revenue() -> TokenId {
        TokenId::Agent("revenue".to_owned())
    }

    fn sources(folder: &Path) -> BTreeMap<TokenId, TokenSource> {
        let file = TokenSource::File(folder.join("token"));
        BTreeMap::from([
            (TokenId::Default, file),
            (revenue(), TokenSource::Env("REVENUE".to_owned())),
        ])
    }

    #[test]
    fn a_rotated_file_is_picked_up() {
        let world = World::new();
        world.replace_file("at-first");
        world.check(&TokenId::Default, "at-first", 1);
        world.check(&TokenId::Default, "at-first", 1);
        world.replace_file("at-other");
        assert_eq!(
            world.tokens.generation(&TokenId::Default),
            2,
            "asked before the value was"
        );
        world.check(&TokenId::Default, "at-other", 2);
        fs::write(world.path(), "at-in-place").expect("a file for the test");
        world.check(&TokenId::Default, "at-in-place", 3);
    }

    #[test]
    fn the_same_value_in_a_new_file_is_no_new_generation() {
        let world = World::new();
        world.replace_file("at-first");
        world.check(&TokenId::Default, "at-first", 1);
        world.replace_file("at-first\n");
        world.check(&TokenId::Default, "at-first", 1);
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let world = World::new();
        world.replace_file("at-first");
        world.check(&TokenId::Default, "at-first", 1);
        let modified = fs::metadata(world.path())
            .and_then(|file| file.modified())
            .expect("it is there");
        fs::write(world.path(), "at-other").expect("a file for the test");
        let file = fs::File::options()
            .write(true)
            .open(world.path())
            .expect("it is there");
        file.set_modified(modified).expect("its owner may");
        world.check(&TokenId::Default, "at-first", 1);
    }

    #[test]
    fn a_lost_file_is_an_error_until_it_is_back() {
        let world = World::new();
        world.replace_file("at-first");
        world.check(&TokenId::Default, "at-first", 1);
        fs::remove_file(world.path()).expect("it is there");
        let lost = world.tokens.current(&TokenId::Default);
        assert!(matches!(lost, Err(TokenError::Missing(_))), "{lost:?}");
        assert_eq!(world.tokens.generation(&TokenId::Default), 0);
        world.replace_file("at-first");
        world.check(&TokenId::Default, "at-first", 1);
    }

    #[test]
    fn each_id_has_its_own_token() {
        let world = World::new();
        world.replace_file("at-first");
        let unset = world.tokens.current(&revenue());
        assert!(matches!(unset, Err(TokenError::Unset(_))), "{unset:?}");
        world.check(&TokenId::Default, "at-first", 1);
        *world.env.lock().expect("no holder panics") = Some("at-revenue".to_owned());
        world.check(&revenue(), "at-revenue", 2);
        world.check(&TokenId::Default, "at-first", 1);
        let unknown = world.tokens.current(&TokenId::Agent("unknown".to_owned()));
        assert!(
            matches!(unknown, Err(TokenError::NoSource(_))),
            "{unknown:?}"
        );
    }

    #[test]
    fn a_reload_keeps_what_stays_and_never_repeats_a_generation() {
        let world = World::new();
        world.replace_file("at-first");
        world.check(&TokenId::Default, "at-first", 1);
        world.tokens.replace(sources(world.folder.path()));
        world.check(&TokenId::Default, "at-first", 1);

        *world.env.lock().expect("no holder panics") = Some("at-other".to_owned());
        world.tokens.replace(BTreeMap::from([(
            TokenId::Default,
            TokenSource::Env("OTHER".to_owned()),
        )]));
        world.check(&TokenId::Default, "at-other", 2);

        world.tokens.replace(BTreeMap::new());
        world.tokens.replace(sources(world.folder.path()));
        world.check(&TokenId::Default, "at-first", 3);
    }
}
