package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// prepare creates the issuer and the first administrator, each once for ever. Replicas that
// start at once send the same commands under the same ids, each with its own random values;
// the log accepts one of each.
func (i *identity) prepare(ctx context.Context) error {
	if err := i.prepareIssuer(ctx); err != nil {
		return fmt.Errorf("create the issuer: %w", err)
	}
	if err := i.prepareAdmin(ctx); err != nil {
		return fmt.Errorf("appoint the first administrator: %w", err)
	}
	return nil
}

func (i *identity) prepareIssuer(ctx context.Context) error {
	secret, seed := random(), random()
	if _, err := i.decideIssuer(ctx, "open", func(iss issuer, _ decider.Meta) (events.Event, error) { return open(iss, secret) }); err != nil {
		return err
	}
	if _, err := i.decideIssuer(ctx, "first key", func(iss issuer, m decider.Meta) (events.Event, error) { return addFirstKey(iss, seed, m.Now) }); err != nil {
		return err
	}
	if err := i.loadIssuer(ctx); err != nil {
		return err
	}
	if i.issuer.secret == nil {
		return errors.New("the issuer's secret cannot be read since its key was destroyed: restore the stream of keys from a backup")
	}
	return nil
}

// prepareAdmin appoints a user who does not exist yet, and creates their account. When it is
// interrupted in between, the next start does both again, perhaps with another address.
func (i *identity) prepareAdmin(ctx context.Context) error {
	previous := i.issuer.admin
	if previous != "" {
		u, err := i.loadUser(ctx, previous)
		switch {
		case err != nil, u.erased:
			return err
		case u.exists():
			return i.compareAdmin(ctx, u)
		}
	}
	c, err := i.adminRegistration()
	if err != nil {
		return err
	}
	id, err := i.adminID(ctx, c.Email)
	if err != nil {
		return err
	}
	_, err = i.decideIssuer(ctx, "appoint "+string(id), func(iss issuer, _ decider.Meta) (events.Event, error) { return appoint(iss, id, previous) })
	if err == nil {
		err = i.loadIssuer(ctx)
	}
	if err != nil || i.issuer.admin != id {
		return err // nil when another replica, configured with another address, was first
	}
	return i.registerAdmin(ctx, id, c)
}

// adminID returns the id of the first administrator who has an email address: that of its
// entity, if nobody has it or had it as an account's.
func (i *identity) adminID(ctx context.Context, email string) (events.UserID, error) {
	at, err := i.findPlace(ctx, email)
	if err != nil {
		return "", err
	}
	u, err := i.loadUser(ctx, at.id)
	if err == nil && (at.taken || u.exists() || u.erased) {
		err = errs.New(errs.Conflict, "the email address that is configured for them is, or was, somebody else's: configure another")
	}
	return at.id, err
}

// adminRegistration returns the registration of the first administrator. A password that is
// not configured is generated.
func (i *identity) adminRegistration() (command.RegisterUser, error) {
	c := command.RegisterUser{Name: adminName, Email: i.AdminEmail, Password: i.AdminPassword}
	if c.Password == "" {
		c.Password = base64.RawURLEncoding.EncodeToString(random()[:15])
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	_, err := c.Normal()
	return c, err
}

func (i *identity) registerAdmin(ctx context.Context, id events.UserID, c command.RegisterUser) error {
	a, err := i.hashAccount(ctx, id, c)
	if err != nil {
		return err
	}
	receipt, err := i.addresses.Decide(ctx, ownCommand("register "+string(id), string(id)),
		func(at address, m decider.Meta) (events.Event, error) { return registerAdmin(at, a, m) }, nil)
	if err != nil {
		return err
	}
	// Every replica has generated a password; only the recorded one must be announced.
	e, recorded := receipt.Record.Event.(events.UserRegistered)
	if recorded && e.PasswordHash == a.passwordHash && i.AdminPassword == "" {
		i.Announce(a.email, c.Password)
	}
	return nil
}

// compareAdmin reports to Ignored when the configured password is not the existing
// administrator's.
func (i *identity) compareAdmin(ctx context.Context, admin user) error {
	if i.AdminPassword == "" || i.Ignored == nil {
		return nil
	}
	same, err := i.passwords.match(ctx, admin.passwordHash, i.AdminPassword, i.issuer.salt(admin.emailID))
	if err == nil && !same {
		i.Ignored(admin.Email)
	}
	return err
}

func (i *identity) decideIssuer(ctx context.Context, name string, decide decider.Decide[issuer]) (decider.Receipt, error) {
	return i.issuers.Decide(ctx, ownCommand(name, events.RealmID), decide, nil)
}

func (i *identity) loadIssuer(ctx context.Context) error {
	store := i.storeKeys(i.clock())
	return i.issuers.Peek(ctx, events.RealmID, func(iss issuer) {
		i.issuer = iss // may be kept, as in storeKeys
		store(iss)
	})
}

// ownCommand returns one of the service's own commands. Its id follows from its name, so it
// is the same at every start; names must not change.
func ownCommand(name, entity string) decider.Command {
	return decider.Command{EntityID: entity, Envelope: eventlog.Envelope{
		ID: eventlog.DeriveID("identity", name), Actor: eventlog.Actor{ID: "service:identity"},
	}}
}

func random() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}
