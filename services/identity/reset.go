package identity

import (
	"context"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// newHash is a new password, hashed.
type newHash string

// Fingerprint implements service.Fingerprinter.
func (h newHash) Fingerprint() string { return string(h) }

// resetPassword is recorded even if the password was the same before: it is also
// how every session of an account is ended.
func resetPassword(u user, _ command.ResetPassword, to newHash, _ decider.Meta) (events.Event, error) {
	if !u.known() {
		return nil, errs.New(errs.NotFound, "there is no such account")
	}
	return events.UserPasswordChanged{UserID: u.ID, PasswordHash: string(to)}, nil
}

// resetting is the account that is to have a new password: without an address it
// is the first administrator's.
func (i *identity) resetting(ctx context.Context, c command.ResetPassword) (string, error) {
	if c.Email == "" {
		return string(i.realm.admin), nil
	}
	id, err := i.idFor(ctx, c.Email)
	return string(id), err
}

func (i *identity) rehashed(ctx context.Context, c command.ResetPassword) (newHash, error) {
	id, err := i.resetting(ctx, c)
	if err != nil {
		return "", err
	}
	hash, err := i.passwords.hash(ctx, today, events.NormalText(c.Password), i.realm.salt(events.UserID(id)))
	return newHash(hash), err
}

// compareAdmin tells when the password of an administrator who has been there
// before is not the configured one, which is not set for them.
func (i *identity) compareAdmin(ctx context.Context, admin user) error {
	if i.AdminPassword == "" || i.Ignored == nil {
		return nil
	}
	same, err := i.passwords.match(ctx, admin.passwordHash, i.AdminPassword, i.realm.salt(admin.ID))
	if err == nil && !same {
		i.Ignored(admin.Email)
	}
	return err
}
