package events

import "time"

// The events of a login are those of a session, on a stream that removes them by their age. So each
// of them has all there is to know about the session, and the last one is enough. Sessions that
// earlier versions began have the events of user.go, on IDENTITY, until they are over.

// Login is a session, as each of its events describes it after it happened. Times are those of the
// service's clock; positions are sequences on IDENTITY.
type Login struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	// TokenHash is the SHA-256, in hex, of the one refresh token that is valid until it is used or
	// the session is over.
	TokenHash string `json:"token_hash" minLength:"1"`
	// Refreshes is how often that was replaced.
	Refreshes int       `json:"refreshes" minimum:"0"`
	StartedAt time.Time `json:"started_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Position is up to where IDENTITY was read for the access token that was signed then.
	Position uint64 `json:"position"`
	// PasswordAt is where the password was set that the user gave. One that is set later ends the
	// session.
	PasswordAt uint64 `json:"password_at"`
}

// EntityID implements Event.
func (l Login) EntityID() string { return string(l.SessionID) }

// Check implements Event.
func (l Login) Check() error {
	err := checkSession(l.SessionID, l.UserID)
	switch {
	case err != nil:
		return err
	case l.TokenHash == "":
		return InvalidField("token_hash", "must not be empty")
	case l.Refreshes < 0:
		return InvalidField("refreshes", "must not be negative")
	case !l.StartedAt.Before(l.ExpiresAt):
		return InvalidField("expires_at", "must be after started_at")
	}
	return nil
}

// LoginStarted is recorded when a user logged in.
type LoginStarted struct {
	Login
}

// LoginRefreshed is recorded when the refresh token was used. TokenHash is that of the new one.
type LoginRefreshed struct {
	Login
}

// LoginEnded is recorded when a session ends. All its tokens are invalid from then on.
type LoginEnded struct {
	Login
	Reason string `json:"reason"` // EndedByLogout or EndedByReuse
}

// EventName implements Event.
func (LoginStarted) EventName() string { return "login.started.v1" }

// EventName implements Event.
func (LoginRefreshed) EventName() string { return "login.refreshed.v1" }

// EventName implements Event.
func (LoginEnded) EventName() string { return "login.ended.v1" }
