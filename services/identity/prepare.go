package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
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
	added, err := i.decideIssuer(ctx, "first key", func(iss issuer, _ decider.Meta) (events.Event, error) { return addFirstKey(iss, seed) })
	if err != nil {
		return err
	}
	i.keysAt = projection.Token{added.Stream: added.Sequence}
	return i.loadIssuer(ctx)
}

// prepareAdmin may be interrupted between the appointment and the registration. Then the
// next start does both again, perhaps with another address.
func (i *identity) prepareAdmin(ctx context.Context) error {
	previous := i.issuer.admin
	if previous != "" {
		u, err := i.loadUser(ctx, previous)
		if err != nil {
			return err
		}
		if u.exists() {
			return i.compareAdmin(ctx, u)
		}
	}
	c := command.RegisterUser{Name: adminName, Email: i.AdminEmail, Password: i.AdminPassword}
	if c.Password == "" {
		c.Password = base64.RawURLEncoding.EncodeToString(random()[:15])
	}
	if err := c.Check(); err != nil {
		return err
	}
	if _, err := c.Normal(); err != nil {
		return err
	}
	id, err := i.userIDFor(ctx, c.Email)
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

func (i *identity) registerAdmin(ctx context.Context, id events.UserID, c command.RegisterUser) error {
	a, err := i.hashAccount(ctx, id, c)
	if err != nil {
		return err
	}
	receipt, err := i.users.Decide(ctx, ownCommand("register "+string(id), string(id)),
		func(u user, m decider.Meta) (events.Event, error) { return registerAdmin(u, a, m) },
		func(u user, _ events.Event) any { return u.passwordHash == a.passwordHash })
	if err != nil {
		return err
	}
	// Every replica has generated a password; only the recorded one must be announced.
	if recorded := receipt.Reply.(bool); recorded && i.AdminPassword == "" {
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
	same, err := i.passwords.match(ctx, admin.passwordHash, i.AdminPassword, i.issuer.salt(admin.ID))
	if err == nil && !same {
		i.Ignored(admin.Email)
	}
	return err
}

func (i *identity) decideIssuer(ctx context.Context, name string, decide decider.Decide[issuer]) (decider.Receipt, error) {
	return i.issuers.Decide(ctx, ownCommand(name, events.RealmID), decide, nil)
}

func (i *identity) loadIssuer(ctx context.Context) error {
	// The state may be kept, since evolveIssuer only adds to it.
	return i.issuers.Peek(ctx, events.RealmID, func(iss issuer) { i.issuer = iss })
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
