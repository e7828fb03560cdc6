package identity

import (
	"encoding/json"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The accounts view holds the users, each with the ready-made answer, and their sessions. It holds
// no secrets, not even hashed ones, and nothing of users who were erased. It reads the whole
// stream, so that it reaches every position of it.
//
// A view that is built after somebody was erased never had their rows. So no row may depend on
// how many there were before: users are numbered by the sequence of their event. A session that
// has expired has no row, since its events go, too; one that has not has the same row, however
// many of its events are left and whichever stream is read first.
var accountsDefinition = projection.Definition{
	Name: "accounts",
	Schema: `
CREATE TABLE users (
	number INTEGER PRIMARY KEY, -- the sequence of its first event: oldest first
	id     TEXT NOT NULL UNIQUE,
	email  TEXT NOT NULL, -- the first of its command.EmailKeys
	body   TEXT NOT NULL, -- a query.UserView
	registered_at INTEGER NOT NULL -- in microseconds since 1970, as all times here
);
CREATE INDEX users_by_email ON users (email);
CREATE TABLE sessions (
	id         TEXT PRIMARY KEY,
	user_id    TEXT NOT NULL,
	started_at INTEGER NOT NULL,
	used_at    INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	ended_at   INTEGER -- NULL while it has not been ended
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE TABLE erased (id TEXT PRIMARY KEY) WITHOUT ROWID; -- users, whose sessions may be read later`,
	Reads: []projection.Source{
		{Stream: "IDENTITY", Subjects: []string{"events.user.>", "events.session.>", "events.realm.>"}},
		{Stream: sessionsStream, Subjects: []string{"events.login.>"}},
	},
	Project:    project,
	Outdated:   `DELETE FROM sessions WHERE expires_at < ?`,
	Introduces: sessionsStream,
	Commands:   true, // a registration's entity follows from the address, not from the command id
}

func project(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.SessionStarted, events.SessionRotated, events.SessionEnded:
		return projectFormerSession(tx, r)
	case events.LoginStarted:
		return projectSession(tx, e.Login, r, false)
	case events.LoginRefreshed:
		return projectSession(tx, e.Login, r, false)
	case events.LoginEnded:
		return projectSession(tx, e.Login, r, true)
	case events.UserErased:
		return deleteUser(tx, e.UserID)
	}
	if withheld(r.Event) {
		return nil // of somebody who was erased later
	}
	switch e := r.Event.(type) {
	case events.UserRegistered:
		return insertUser(tx, query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles}, r)
	case events.UserEmailChanged:
		return changeUser(tx, e.UserID, func(u *query.UserView) { u.Email = e.Email })
	case events.UserProfileChanged:
		return changeUser(tx, e.UserID, func(u *query.UserView) { u.Name, u.Locale = e.Name, e.Locale })
	case events.UserRolesChanged:
		return changeUser(tx, e.UserID, func(u *query.UserView) { u.Roles = e.Roles })
	}
	return nil
}

func insertUser(tx *projection.Tx, u query.UserView, r eventlog.Record) error {
	body, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO users (number, id, email, body, registered_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		r.Sequence, string(u.ID), command.EmailKeys(u.Email)[0], string(body), r.Time.UnixMicro())
}

// changeUser changes the row of a user. One who was erased has none.
func changeUser(tx *projection.Tx, id events.UserID, change func(*query.UserView)) error {
	var body []byte
	found, err := tx.Get(`SELECT body FROM users WHERE id = ?`, []any{string(id)}, &body)
	if err != nil || !found {
		return err
	}
	var u query.UserView
	if err := json.Unmarshal(body, &u); err != nil {
		return err
	}
	change(&u)
	if body, err = json.Marshal(u); err != nil {
		return err
	}
	return tx.Exec(`UPDATE users SET email = ?, body = ? WHERE id = ?`, command.EmailKeys(u.Email)[0], string(body), string(id))
}

func deleteUser(tx *projection.Tx, id events.UserID) error {
	if err := tx.Erase(`DELETE FROM sessions WHERE user_id = ?`, string(id)); err != nil {
		return err
	}
	if err := tx.Exec(`INSERT INTO erased (id) VALUES (?) ON CONFLICT DO NOTHING`, string(id)); err != nil {
		return err
	}
	return tx.Erase(`DELETE FROM users WHERE id = ?`, string(id))
}

// projectSession writes the row of a session as an event describes it.
func projectSession(tx *projection.Tx, l events.Login, r eventlog.Record, ended bool) error {
	at, endedAt := r.Time.UnixMicro(), (*int64)(nil)
	if ended {
		endedAt = &at
	}
	return tx.Exec(`INSERT INTO sessions (id, user_id, started_at, used_at, expires_at, ended_at)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM erased WHERE id = ?2)
		ON CONFLICT (id) DO UPDATE SET used_at = iif(excluded.ended_at IS NULL, excluded.used_at, used_at), ended_at = excluded.ended_at`,
		string(l.SessionID), string(l.UserID), l.StartedAt.UnixMicro(), at, l.ExpiresAt.UnixMicro(), endedAt)
}

// projectFormerSession writes the row of a session of an earlier version, whose first event tells
// most of it.
func projectFormerSession(tx *projection.Tx, r eventlog.Record) error {
	at := r.Time.UnixMicro()
	switch e := r.Event.(type) {
	case events.SessionStarted:
		return tx.Exec(`INSERT INTO sessions (id, user_id, started_at, used_at, expires_at)
			SELECT ?, id, ?, ?, ? FROM users WHERE id = ? ON CONFLICT (id) DO NOTHING`,
			string(e.SessionID), at, at, e.ExpiresAt.UnixMicro(), string(e.UserID))
	case events.SessionRotated:
		return tx.Exec(`UPDATE sessions SET used_at = ? WHERE id = ?`, at, string(e.SessionID))
	case events.SessionEnded:
		return tx.Exec(`UPDATE sessions SET ended_at = ? WHERE id = ?`, at, string(e.SessionID))
	}
	return nil
}
