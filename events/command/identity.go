package command

import (
	"net/mail"
	"regexp"
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

// ChangeProfile changes what a user tells about themselves. Only the user may send it.
type ChangeProfile struct {
	UserID events.UserID `json:"user_id"`
	Name   *string       `json:"name,omitempty"`   // nil keeps it
	Locale *string       `json:"locale,omitempty"` // a BCP 47 language tag; "" is the shop's language, nil keeps it
}

// ChangeEmail gives an account another email address. The user needs their password; an
// administrator, who may change anybody's, does not.
type ChangeEmail struct {
	UserID   events.UserID `json:"user_id"`
	Email    string        `json:"email"`
	Password string        `json:"password,omitempty"`
}

// EraseUser erases an account: nothing that identifies the person can be read afterwards. Their
// orders stay. The user needs their password; an administrator, who may erase anybody but
// themselves, does not.
type EraseUser struct {
	UserID   events.UserID `json:"user_id"`
	Password string        `json:"password,omitempty"`
}

// SealUser records an account of an earlier version again, sealed. Operators only.
type SealUser struct {
	UserID events.UserID `json:"user_id"`
}

// RotateKey adds a key for access tokens, unless one was added that does not sign yet. It signs
// some minutes later, when everybody who verifies tokens has it. Operators only.
type RotateKey struct{}

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
	return events.FirstOf(checkEmail(c.Email), events.Text("name", c.Name, 1, 200), checkPassword(c.Password, len(c.Password)))
}

// Normal is described at Command.
func (c RegisterUser) Normal() (RegisterUser, error) {
	c.Name, c.Email, c.Password = events.NormalText(c.Name), NormalEmail(c.Email), events.NormalText(c.Password)
	return c, events.FirstOf(events.Visible("name", c.Name), checkVisible(c.Email), checkPassword(c.Password, events.Length(c.Password)))
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

func (ChangeProfile) CommandName() string { return "identity.change_profile" }
func (c ChangeProfile) EntityID() string  { return string(c.UserID) }
func (c ChangeProfile) Check() error {
	err := events.Token("user_id", c.UserID)
	if err == nil && c.Name == nil && c.Locale == nil {
		err = events.InvalidField("name", "or locale must be given")
	}
	if err == nil && c.Name != nil {
		err = events.Text("name", *c.Name, 1, 200)
	}
	if err == nil && c.Locale != nil {
		err = checkLocale(*c.Locale)
	}
	return err
}

// Normal is described at Command.
func (c ChangeProfile) Normal() (ChangeProfile, error) {
	if c.Name == nil {
		return c, nil
	}
	name := events.NormalText(*c.Name)
	c.Name = &name
	return c, events.Visible("name", name)
}

func (ChangeEmail) CommandName() string { return "identity.change_email" }
func (ChangeEmail) EntityID() string    { return "" } // the address's entity
func (c ChangeEmail) Check() error {
	return events.FirstOf(events.Token("user_id", c.UserID), checkEmail(c.Email), checkGiven(c.Password))
}

// Normal is described at Command.
func (c ChangeEmail) Normal() (ChangeEmail, error) {
	c.Email = NormalEmail(c.Email)
	return c, checkVisible(c.Email)
}

func (EraseUser) CommandName() string { return "identity.erase" }
func (c EraseUser) EntityID() string  { return string(c.UserID) }
func (c EraseUser) Check() error {
	return events.FirstOf(events.Token("user_id", c.UserID), checkGiven(c.Password))
}

func (SealUser) CommandName() string { return "identity.seal" }
func (c SealUser) EntityID() string  { return string(c.UserID) }
func (c SealUser) Check() error      { return events.Token("user_id", c.UserID) }

func (RotateKey) CommandName() string { return "identity.rotate_key" }
func (RotateKey) EntityID() string    { return events.RealmID }
func (RotateKey) Check() error        { return nil }

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

// checkGiven checks a password that is compared with the user's, or is missing.
func checkGiven(password string) error {
	if tooLong(password) {
		return events.InvalidField("password", "must have at most %d characters", maxPassword)
	}
	return nil
}

func checkEmail(email string) error {
	if a, err := mail.ParseAddress(NormalEmail(email)); err != nil || a.Address != NormalEmail(email) || len(email) > 254 {
		return events.InvalidField("email", "must be an email address such as ana@example.com")
	}
	return nil
}

// checkVisible checks that an address, in its normal form, has no characters that cannot be seen.
func checkVisible(email string) error {
	err := events.Visible("email", email)
	if err == nil && strings.ContainsAny(email, "\u200c\u200d\ufe0e\ufe0f") {
		err = events.InvalidField("email", "must not contain characters that cannot be seen")
	}
	return err
}

// locale is a BCP 47 language tag in its usual form: a language, and perhaps a script, a region
// and variants.
var locale = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

func checkLocale(tag string) error {
	if tag != "" && (len(tag) > events.MaxLocale || !locale.MatchString(tag)) {
		return events.InvalidField("locale", "must be a language tag such as en or es-MX")
	}
	return nil
}
