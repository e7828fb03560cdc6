package command

import (
	"net/mail"
	"strings"

	"lonja/events"
)

// RegisterUser opens a customer's account.
type RegisterUser struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
}

// LogIn starts a session: a pair of access and refresh token.
type LogIn struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// RefreshSession exchanges a refresh token, once, for a new pair.
type RefreshSession struct {
	RefreshToken string `json:"refresh_token"`
}

// LogOut ends the session that a refresh token belongs to.
type LogOut struct {
	RefreshToken string `json:"refresh_token"`
}

// SetRoles gives an account its roles, all of them. Administrators only.
type SetRoles struct {
	UserID events.UserID `json:"user_id"`
	Roles  []string      `json:"roles"`
}

// ResetPassword gives an account a new password, the first administrator's when
// Email is empty, and ends its sessions. It is the operator's alone: NATS lets
// nobody else send it.
type ResetPassword struct {
	Email    string `json:"email,omitempty"`
	Password string `json:"password"`
}

// NormalEmail is how addresses are compared: without spaces around, in lower case.
func NormalEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func (RegisterUser) Command() string  { return "identity.register" }
func (RegisterUser) EntityID() string { return "" }
func (c RegisterUser) Check() error {
	if a, err := mail.ParseAddress(NormalEmail(c.Email)); err != nil || a.Address != NormalEmail(c.Email) || len(c.Email) > 254 {
		return events.Wrong("email", "must be an address like ana@example.com")
	}
	return events.FirstOf(events.Text("name", c.Name, 1, 200), checkPassword(c.Password))
}

func (LogIn) Command() string  { return "identity.login" }
func (LogIn) EntityID() string { return "" }
func (c LogIn) Check() error {
	if c.Password == "" || len(c.Password) > maxPassword {
		return events.Wrong("password", "must have 1 to %d characters", maxPassword)
	}
	return events.Text("email", c.Email, 1, 254)
}

func (RefreshSession) Command() string  { return "identity.refresh" }
func (RefreshSession) EntityID() string { return "" }
func (c RefreshSession) Check() error   { return events.Text("refresh_token", c.RefreshToken, 1, 500) }

func (LogOut) Command() string  { return "identity.logout" }
func (LogOut) EntityID() string { return "" }
func (c LogOut) Check() error   { return events.Text("refresh_token", c.RefreshToken, 1, 500) }

func (SetRoles) Command() string    { return "identity.set_roles" }
func (c SetRoles) EntityID() string { return string(c.UserID) }
func (c SetRoles) Check() error {
	return events.FirstOf(events.Token("user_id", c.UserID), events.CheckRoles(c.Roles))
}

func (ResetPassword) Command() string  { return "identity.reset_password" }
func (ResetPassword) EntityID() string { return "" }
func (c ResetPassword) Check() error {
	return events.FirstOf(events.Text("email", c.Email, 0, 254), checkPassword(c.Password))
}

const maxPassword = 1_000

func checkPassword(p string) error {
	switch {
	case len(p) < 8:
		return events.Wrong("password", "must have at least 8 characters")
	case len(p) > maxPassword:
		return events.Wrong("password", "must have at most %d characters", maxPassword)
	}
	return nil
}
