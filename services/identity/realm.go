package identity

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
)

// realm is what every account and token of the shop is derived with.
type realm struct {
	secret []byte
	keys   []key // the newest, at the end, signs
	admin  events.UserID
}

type key struct {
	id      string
	private ed25519.PrivateKey
}

var realmKind = decider.EntityType[realm]{Subject: "events.realm", Stream: "IDENTITY", Evolve: evolveRealm}

func evolveRealm(r realm, event events.Event, _ time.Time) realm {
	switch e := event.(type) {
	case events.RealmOpened:
		if r.secret == nil { // another one would make other people of them all
			r.secret = e.Secret
		}
	case events.RealmKeyAdded:
		r.keys = append(r.keys, key{e.KeyID, ed25519.NewKeyFromSeed(e.Seed)})
	case events.RealmAdminAppointed:
		r.admin = e.UserID
	}
	return r
}

// userIDs are the ids that whoever has an address may have: the first, or, if
// an earlier version registered them, another one. That an id follows from the
// address is what keeps two people from registering the same one; that it is
// keyed keeps anyone from telling the address by the id.
func (r realm) userIDs(email string) (ids []events.UserID) {
	for _, key := range command.EmailKeys(email) {
		ids = append(ids, events.UserID("usr_"+hex.EncodeToString(r.mac("user", key)[:16])))
	}
	return ids
}

// salt is that of a user's password: the same every time, so that the same
// registration hashes to the same.
func (r realm) salt(id events.UserID) []byte { return r.mac("salt", string(id))[:16] }

func (r realm) mac(purpose, text string) []byte {
	h := hmac.New(sha256.New, r.secret)
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil)
}

// keyID names a key after its public half.
func keyID(seed []byte) string {
	sum := sha256.Sum256(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:8])
}
