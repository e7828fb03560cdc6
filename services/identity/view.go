package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The accounts view holds the users and the public halves of the issuer's keys, each row with
// its ready-made answer. It holds no secrets, not even hashed ones. It reads the whole
// stream, sessions included, so that it reaches every position of it.
var accountsDefinition = projection.Definition{
	Name: "accounts",
	Schema: `
CREATE TABLE users (
	number INTEGER PRIMARY KEY, -- oldest first
	id     TEXT NOT NULL UNIQUE,
	email  TEXT NOT NULL, -- the first of its command.EmailKeys
	body   TEXT NOT NULL -- a query.UserView
);
CREATE INDEX users_by_email ON users (email);
CREATE TABLE keys (
	number INTEGER PRIMARY KEY,
	id     TEXT NOT NULL UNIQUE,
	body   TEXT NOT NULL -- a query.Key
);`,
	Reads:    []projection.Source{{Stream: "IDENTITY", Subjects: []string{"events.user.>", "events.session.>", "events.realm.>"}}},
	Project:  project,
	Commands: true, // a registration's entity follows from the address, not from the command id
}

func project(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.UserRegistered:
		return putUser(tx, query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles})
	case events.UserRolesChanged:
		var body string
		found, err := tx.Get(`SELECT body FROM users WHERE id = ?`, []any{string(e.UserID)}, &body)
		if err != nil || !found {
			return err
		}
		var u query.UserView
		if err := json.Unmarshal([]byte(body), &u); err != nil {
			return err
		}
		u.Roles = e.Roles
		return putUser(tx, u)
	case events.RealmKeyAdded:
		return putKey(tx, publicKey(e))
	}
	return nil
}

func putUser(tx *projection.Tx, u query.UserView) error {
	body, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO users (id, email, body) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET email = excluded.email, body = excluded.body`, string(u.ID), command.EmailKeys(u.Email)[0], string(body))
}

func putKey(tx *projection.Tx, k query.Key) error {
	body, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO keys (id, body) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, k.KeyID, string(body))
}

func publicKey(e events.RealmKeyAdded) query.Key {
	public := ed25519.NewKeyFromSeed(e.Seed).Public().(ed25519.PublicKey)
	return query.Key{
		KeyType: "OKP", Curve: "Ed25519", Algorithm: "EdDSA", Use: "sig",
		KeyID: e.KeyID, X: base64.RawURLEncoding.EncodeToString(public),
	}
}
