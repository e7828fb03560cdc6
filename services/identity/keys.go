package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"lonja/events"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// A key for access tokens is published from when it is recorded, signs keyLead later, and is
// replaced when the next key signs. It is published for keyLinger more, since its tokens
// live on, and then it is of no use. What a key does at a time follows from the recorded keys
// alone, so all replicas agree on it.
const (
	// keyLead is longer than whoever verifies tokens may keep the published keys: the gateway
	// says five minutes. A replica may publish them for keysKept before, and the rest is for
	// clocks that differ. So no valid token is signed with a key that its verifier does not
	// have yet, even if it does not ask again because of an unknown one.
	keyLead = 8 * time.Minute
	// keysKept is how long a replica publishes and signs with what it has loaded.
	keysKept = 2 * time.Minute
	// keyLinger is as long as an access token lives, a minute for which gateways accept it
	// after that, and the rest for clocks that differ. Tickets live for less.
	keyLinger = accessLife + 5*time.Minute
)

type key struct {
	id       string
	public   ed25519.PublicKey
	private  ed25519.PrivateKey // nil when it is withheld: the key that sealed it was destroyed
	activeAt time.Time          // from when it signs
	plain    bool               // an earlier version recorded it, in plain text
}

// keys are all keys that were recorded. Each is active later than the one before.
type keys []key

// keyOf returns the key that an event records. One of an earlier version is active at once.
func keyOf(e events.RealmKeyAdded, r eventlog.Record) key {
	k := key{id: e.KeyID, public: e.PublicKey, activeAt: e.ActiveAt, plain: slices.Contains(events.OlderTypes(), r.Type)}
	if k.activeAt.IsZero() {
		k.activeAt = r.Time
	}
	if len(e.Seed) == ed25519.SeedSize {
		k.private = ed25519.NewKeyFromSeed(e.Seed)
	}
	return k
}

// signer returns the key that signs what is issued at a time: the same one whenever it is
// asked, so that a token which is made twice is the same token. When that key is gone, all
// its tokens are dead, and any other does. It is Unavailable when there is none.
func (ks keys) signer(issued time.Time) (key, error) {
	for _, k := range ks[ks.activeAt(issued):] {
		if k.private != nil {
			return k, nil
		}
	}
	return key{}, errs.New(errs.Unavailable, "there is no key to sign access tokens with; an operator can add one with lonja keys rotate signing")
}

// activeAt returns the index of the key that is active at a time. The first key is active from
// the beginning, whatever a clock said when it was recorded.
func (ks keys) activeAt(at time.Time) (n int) {
	for i, k := range ks {
		if !at.Before(k.activeAt) {
			n = i
		}
	}
	return n
}

// retired returns how many of the oldest keys are no longer published at a time. No token
// that they signed is alive then.
func (ks keys) retired(now time.Time) (n int) {
	for n < len(ks)-1 && !now.Before(ks[n+1].activeAt.Add(keyLinger)) {
		n++
	}
	return n
}

// pending reports whether the newest key does not sign yet.
func (ks keys) pending(now time.Time) bool {
	return len(ks) > 0 && now.Before(ks[len(ks)-1].activeAt)
}

// outdated reports whether the newest key has signed for longer than age; 0 means for ever. A
// key of an earlier version never is: this program must record nothing by itself in a log that
// an earlier one may go on with.
func (ks keys) outdated(now time.Time, age time.Duration) bool {
	if age == 0 || len(ks) == 0 || ks[len(ks)-1].plain {
		return false
	}
	return !now.Before(ks[len(ks)-1].activeAt.Add(age))
}

// newKey returns the event that records a key.
func newKey(seed []byte, activeAt time.Time) events.RealmKeyAdded {
	return events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed, PublicKey: publicHalf(seed), ActiveAt: activeAt}
}

// keyID derives a key's id from its public half.
func keyID(seed []byte) string {
	sum := sha256.Sum256(publicHalf(seed))
	return hex.EncodeToString(sum[:8])
}

func publicHalf(seed []byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

// KeyState is what a key for access tokens does at a time.
type KeyState string

// The states of a key, in the order in which it has them.
const (
	KeyPending  KeyState = "pending"  // published, and does not sign yet
	KeySigns    KeyState = "signs"    // signs, and verifies
	KeyVerifies KeyState = "verifies" // verifies the tokens that it has signed
	KeyRetired  KeyState = "retired"  // is not published any more
)

// SigningKey is a key for access tokens as operators see it.
type SigningKey struct {
	ID       string
	ActiveAt time.Time // from when it signs
	State    KeyState
	Plain    bool // an earlier version recorded its seed in plain text
}

// SigningKeys returns the keys that the issuer's events record, oldest first. The events may
// be withheld.
func SigningKeys(recorded []eventlog.Record, now time.Time) []SigningKey {
	var iss issuer
	for _, r := range recorded {
		if r.Event != nil {
			iss = evolveIssuer(iss, r)
		}
	}
	all := make([]SigningKey, 0, len(iss.keys))
	for n, k := range iss.keys {
		one := SigningKey{ID: k.id, ActiveAt: k.activeAt, Plain: k.plain}
		switch active := iss.keys.activeAt(now); {
		case n > active:
			one.State = KeyPending
		case n == active:
			one.State = KeySigns
		case n >= iss.keys.retired(now):
			one.State = KeyVerifies
		default:
			one.State = KeyRetired
		}
		all = append(all, one)
	}
	return all
}
