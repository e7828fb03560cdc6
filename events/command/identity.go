package command

import (
	"net/mail"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

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

// NormalEmail is how an address is written down: without spaces around, in
// lower case and normal form.
func NormalEmail(s string) string {
	return events.NormalText(strings.ToLower(events.NormalText(strings.TrimSpace(s))))
}

// EmailKeys are what the account with an address may be found by. The first is
// the address without regard to case, as Unicode folds it, and that of every new
// account. The others are those of accounts that were made when addresses were
// only put in lower case, as they had been typed.
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
		return events.Wrong("email", "must be an address like ana@example.com")
	}
	return events.FirstOf(events.Text("name", c.Name, 1, 200), checkPassword(c.Password, len(c.Password)))
}

// Normal: see Command.
func (c RegisterUser) Normal() (RegisterUser, error) {
	c.Name, c.Email, c.Password = events.NormalText(c.Name), NormalEmail(c.Email), events.NormalText(c.Password)
	err := events.FirstOf(events.Visible("name", c.Name), events.Visible("email", c.Email), checkPassword(c.Password, events.Length(c.Password)))
	if err == nil && strings.ContainsAny(c.Email, "\u200c\u200d\ufe0e\ufe0f") {
		err = events.Wrong("email", "must not contain characters that cannot be seen")
	}
	return c, err
}

func (LogIn) CommandName() string { return "identity.login" }
func (LogIn) EntityID() string    { return "" }
func (c LogIn) Check() error {
	if c.Password == "" || tooLong(c.Password) {
		return events.Wrong("password", "must have 1 to %d characters", maxPassword)
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

// Normal: see Command.
func (c ResetPassword) Normal() (ResetPassword, error) {
	c.Password = events.NormalText(c.Password)
	return c, checkPassword(c.Password, events.Length(c.Password))
}

const maxPassword = 1_000

// checkPassword checks a password of which so many characters count.
func checkPassword(p string, length int) error {
	switch {
	case length < 8:
		return events.Wrong("password", "must have at least 8 characters")
	case tooLong(p):
		return events.Wrong("password", "must have at most %d characters", maxPassword)
	}
	return nil
}

func tooLong(password string) bool {
	return len(password) > maxPassword*events.MaxCharacter || events.Length(password) > maxPassword
}
