//! Does somebody know a password of which only a verifier is kept? SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL keeps it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngCore as _;
use ring::{digest, hmac, pbkdf2};

/// Rounds of a new verifier: some ten milliseconds for each guess.
const ROUNDS: NonZeroU32 = NonZeroU32::new(32_768).expect("it is not zero");
/// Most rounds of a verifier that is read, so that a login takes a second at most.
const MOST_ROUNDS: u32 = 2_000_000;
const NAME: &str = "SCRAM-SHA-256";

/// What is kept of a password: enough to check it, too little to log in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Verifier {
    /// A new verifier, with a salt of its own.
    pub fn of(password: &str) -> Self {
        let mut salt = vec![0; 16];
        rand::rng().fill_bytes(&mut salt);
        Self::salted(password, salt, ROUNDS)
    }

    /// A verifier that no password meets, the same for the same `name`: who asks for a user learns nothing of whether there is one.
    pub fn of_nobody(secret: &[u8], name: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let [salt, stored_key, server_key] = ["salt", "stored", "server"].map(|part| sign(&key, format!("{part} {name}").as_bytes()));
        Self { rounds: ROUNDS, salt: salt[..16].to_vec(), stored_key, server_key }
    }

    /// Whether a password is the one.
    pub fn is_of(&self, password: &str) -> bool {
        let other = Self::salted(password, self.salt.clone(), self.rounds);
        same(&other.stored_key, &self.stored_key)
    }

    fn salted(password: &str, salt: Vec<u8>, rounds: NonZeroU32) -> Self {
        // A password that can't be prepared is taken as it is, as PostgreSQL does.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, prepared.as_bytes(), &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let stored_key = sha256(&sign(&salted, b"Client Key"));
        Self { rounds, salt, stored_key, server_key: sign(&salted, b"Server Key") }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] = [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        write!(f, "{NAME}${}:{salt}${stored}:{server}", self.rounds)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl FromStr for Verifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "it is no SCRAM-SHA-256 verifier; make one with `proprio user add NAME`";
        let parts = || -> Option<Self> {
            let (rounds, rest) = text.strip_prefix(NAME)?.strip_prefix('$')?.split_once(':')?;
            let (salt, keys) = rest.split_once('$')?;
            let (stored, server) = keys.split_once(':')?;
            let key = |text: &str| <[u8; 32]>::try_from(BASE64.decode(text).ok()?).ok();
            let rounds = rounds.parse().ok().filter(|rounds: &NonZeroU32| (4096..=MOST_ROUNDS).contains(&rounds.get()))?;
            Some(Self { rounds, salt: BASE64.decode(salt).ok()?, stored_key: key(stored)?, server_key: key(server)? })
        };
        parts().ok_or(FORM)
    }
}

/// One login, between the server's challenge and the client's proof.
pub struct Challenge {
    verifier: Verifier,
    client_first_bare: String,
    gs2_header: String,
    server_first: String,
    nonce: String,
}

impl Challenge {
    /// The server's first message, in answer to the client's; `None` when that can't be read or asks for what there isn't.
    pub fn new(verifier: Verifier, client_first: &str) -> Option<(Self, String)> {
        // No channel binding is offered; `y` is a client that could, and knows that we don't.
        let (gs2_header, bare) = ["n,,", "y,,"].into_iter().find_map(|header| Some((header, client_first.strip_prefix(header)?)))?;
        let client_nonce = bare.split(',').find_map(|part| part.strip_prefix("r="))?;
        let mut bytes = [0; 18];
        rand::rng().fill_bytes(&mut bytes);
        let nonce = format!("{client_nonce}{}", BASE64.encode(bytes));
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.rounds);
        let (client_first_bare, gs2_header) = (bare.to_owned(), gs2_header.to_owned());
        Some((Self { verifier, client_first_bare, gs2_header, server_first: server_first.clone(), nonce }, server_first))
    }

    /// The server's last message, when the client's proves that it knows the password.
    pub fn prove(&self, client_final: &str) -> Option<String> {
        let (without_proof, proof) = client_final.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let binding = parts.next()?.strip_prefix("c=")?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        if BASE64.decode(binding).ok()? != self.gs2_header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.verifier.stored_key), message.as_bytes());
        let proof = <[u8; 32]>::try_from(BASE64.decode(proof).ok()?).ok()?;
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, signature)| proof ^ signature).collect();
        let knows = same(&sha256(&client_key), &self.verifier.stored_key);
        let server = hmac::Key::new(hmac::HMAC_SHA256, &self.verifier.server_key);
        knows.then(|| format!("v={}", BASE64.encode(sign(&server, message.as_bytes()))))
    }
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn sign(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    hmac::sign(key, message).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

/// Whether two keys are the same, in a time that does not tell where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password_and_comes_back_from_text() {
        let verifier = Verifier::of("péché de jeunesse");
        let read: Verifier = verifier.to_string().parse().expect("a verifier");
        assert_eq!(read, verifier);
        assert!(read.is_of("péché de jeunesse") && !read.is_of("peche de jeunesse"));
        assert!(!Verifier::of_nobody(b"secret", "anna").is_of(""));
        for broken in ["", "hunter2", "SCRAM-SHA-256$1:AAAA$AAAA:AAAA", "SCRAM-SHA-256$0:$:"] {
            assert!(broken.parse::<Verifier>().is_err(), "{broken}");
        }
    }

    /// The exchange of RFC 7677, section 3, but for the server's nonce.
    #[test]
    fn the_example_of_the_standard_is_proved() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = Verifier::salted("pencil", salt, NonZeroU32::new(4096).expect("not zero"));
        let (mut challenge, _) = Challenge::new(verifier, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO").expect("a client's first message");
        challenge.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
        challenge.server_first = format!("r={},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", challenge.nonce);
        let last = |proof: &str| format!("c=biws,r={},p={proof}", challenge.nonce);
        let answer = challenge.prove(&last("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(answer.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert_eq!(challenge.prove(&last("AHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")), None);
        assert!(Challenge::new(Verifier::of("x"), "p=tls-unique,,n=user,r=abc").is_none());
    }
}
