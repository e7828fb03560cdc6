package command

import (
	"net/mail"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"lonja/events"
)

// RegisterUser creates a customer's account.
type RegisterUser struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
}

// LogIn starts a session. The answer is its first pair of access and refresh token.
type LogIn struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// RefreshSession exchanges a refresh token for a new pair of tokens. It can be used once.
type RefreshSession struct {
	RefreshToken string `json:"refresh_token"`
}

// LogOut ends the session that a refresh token belongs to.
type LogOut struct {
	RefreshToken string `json:"refresh_token"`
}

// SetRoles replaces an account's roles. Administrators only.
type SetRoles struct {
	UserID events.UserID `json:"user_id"`
	Roles  []string      `json:"roles" minItems:"1" enum:"customer,staff,admin"`
}

// ResetPassword gives an account a new password and ends its sessions. Without Email, the
// account is the first administrator's. Operators only: NATS lets no other identity send it.
type ResetPassword struct {
	Email    string `json:"email,omitempty"`
	Password string `json:"password"`
}

// NormalEmail returns an email address as it is recorded: trimmed, in lower case and in
// normal form.
func NormalEmail(s string) string {
	return events.NormalText(strings.ToLower(events.NormalText(strings.TrimSpace(s))))
}

// EmailKeys returns the keys under which an account with an email address may be found. The
// first is the address with its case folded by Unicode's rules; every new account has it.
// The others are those of earlier versions, which only put addresses in lower case.
func EmailKeys(s string) []string {
	s = strings.TrimSpace(s)
	keys := []string{
		events.NormalText(cases.Fold().String(events.NormalText(s))),
		strings.ToLower(s), NormalEmail(s), norm.NFD.String(NormalEmail(s)),
	}
	for i := len(keys) - 1; i > 0; i-- {
		if slices.Contains(keys[:i], keys[i]) {
			keys = slices.Delete(keys, i, i+1)
		}
	}
	return keys
}

func (RegisterUser) CommandName() string { return "identity.register" }
func (RegisterUser) EntityID() string    { return "" }
func (c RegisterUser) Check() error {
	if a, err := mail.ParseAddress(NormalEmail(c.Email)); err != nil || a.Address != NormalEmail(c.Email) || len(c.Email) > 254 {
		return events.InvalidField("email", "must be an email address such as ana@example.com")
	}
	return events.FirstOf(events.Text("name", c.Name, 1, 200), checkPassword(c.Password, len(c.Password)))
}

// Normal is described at Command.
func (c RegisterUser) Normal() (RegisterUser, error) {
	c.Name, c.Email, c.Password = events.NormalText(c.Name), NormalEmail(c.Email), events.NormalText(c.Password)
	err := events.FirstOf(events.Visible("name", c.Name), events.Visible("email", c.Email), checkPassword(c.Password, events.Length(c.Password)))
	if err == nil && strings.ContainsAny(c.Email, "\u200c\u200d\ufe0e\ufe0f") {
		err = events.InvalidField("email", "must not contain characters that cannot be seen")
	}
	return c, err
}

func (LogIn) CommandName() string { return "identity.login" }
func (LogIn) EntityID() string    { return "" }
func (c LogIn) Check() error {
	if c.Password == "" || tooLong(c.Password) {
		return events.InvalidField("password", "must have 1 to %d characters", maxPassword)
	}
	return events.Text("email", c.Email, 1, 254)
}

func (RefreshSession) CommandName() string { return "identity.refresh" }
func (RefreshSession) EntityID() string    { return "" }
func (c RefreshSession) Check() error      { return events.Text("refresh_token", c.RefreshToken, 1, 500) }

func (LogOut) CommandName() string { return "identity.logout" }
func (LogOut) EntityID() string    { return "" }
func (c LogOut) Check() error      { return events.Text("refresh_token", c.RefreshToken, 1, 500) }

func (SetRoles) CommandName() string { return "identity.set_roles" }
func (c SetRoles) EntityID() string  { return string(c.UserID) }
func (c SetRoles) Check() error {
	return events.FirstOf(events.Token("user_id", c.UserID), events.CheckRoles(c.Roles))
}

func (ResetPassword) CommandName() string { return "identity.reset_password" }
func (ResetPassword) EntityID() string    { return "" }
func (c ResetPassword) Check() error {
	return events.FirstOf(events.Text("email", c.Email, 0, 254), checkPassword(c.Password, len(c.Password)))
}

// Normal is described at Command.
func (c ResetPassword) Normal() (ResetPassword, error) {
	c.Password = events.NormalText(c.Password)
	return c, checkPassword(c.Password, events.Length(c.Password))
}

const maxPassword = 1_000

// checkPassword checks a password; length is its length in the unit that counts.
func checkPassword(p string, length int) error {
	switch {
	case length < 8:
		return events.InvalidField("password", "must have at least 8 characters")
	case tooLong(p):
		return events.InvalidField("password", "must have at most %d characters", maxPassword)
	}
	return nil
}

func tooLong(password string) bool {
	return len(password) > maxPassword*events.MaxCharacter || events.Length(password) > maxPassword
}
