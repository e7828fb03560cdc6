package events

import "crypto/ed25519"

// The versions of events that are no longer recorded. An old log holds them for ever, so each
// has a struct, with the fields that it had, and a pure function to the next version; no other
// package sees them. ARCHITECTURE.md says how to change an event.

// userRegisteredV1 had everything in plain text, and an id that was derived from the address.
type userRegisteredV1 struct {
	UserID       UserID   `json:"user_id"`
	Name         string   `json:"name"`
	Email        string   `json:"email"`
	PasswordHash string   `json:"password_hash"`
	Roles        []string `json:"roles"`
}

func (userRegisteredV1) EventName() string { return "user.registered.v1" }
func (e userRegisteredV1) next() UserRegistered {
	return UserRegistered{UserID: e.UserID, Name: e.Name, Email: e.Email, PasswordHash: e.PasswordHash, Roles: e.Roles}
}

// userPasswordChangedV1 had the hash in plain text.
type userPasswordChangedV1 struct {
	UserID       UserID `json:"user_id"`
	PasswordHash string `json:"password_hash"`
}

func (userPasswordChangedV1) EventName() string { return "user.password_changed.v1" }
func (e userPasswordChangedV1) next() UserPasswordChanged {
	return UserPasswordChanged{UserID: e.UserID, PasswordHash: e.PasswordHash}
}

// realmOpenedV1 had the secret in plain text.
type realmOpenedV1 struct {
	Secret []byte `json:"secret"`
}

func (realmOpenedV1) EventName() string { return "realm.opened.v1" }
func (e realmOpenedV1) next() RealmOpened {
	return RealmOpened{Secret: e.Secret}
}

// realmKeyAddedV1 had the seed in plain text, and signed from when it was recorded.
type realmKeyAddedV1 struct {
	KeyID string `json:"key_id"`
	Seed  []byte `json:"seed"`
}

func (realmKeyAddedV1) EventName() string { return "realm.key_added.v1" }
func (e realmKeyAddedV1) next() RealmKeyAdded {
	added := RealmKeyAdded{KeyID: e.KeyID, Seed: e.Seed}
	if len(e.Seed) == ed25519.SeedSize {
		added.PublicKey = ed25519.NewKeyFromSeed(e.Seed).Public().(ed25519.PublicKey)
	}
	return added
}
