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

// prepare opens the realm and appoints the first administrator, each once for
// ever. Replicas that do so at once make the same commands under the same ids,
// each with random values of its own; the log takes one of each.
func (i *identity) prepare(ctx context.Context) error {
	if err := i.openRealm(ctx); err != nil {
		return fmt.Errorf("open the realm: %w", err)
	}
	if err := i.appointAdmin(ctx); err != nil {
		return fmt.Errorf("appoint the first administrator: %w", err)
	}
	return nil
}

func (i *identity) openRealm(ctx context.Context) error {
	secret, seed := random(), random()
	if _, err := i.decideRealm(ctx, "open", func(r realm, _ decider.Meta) (events.Event, error) { return open(r, secret) }); err != nil {
		return err
	}
	added, err := i.decideRealm(ctx, "first key", func(r realm, _ decider.Meta) (events.Event, error) { return addFirstKey(r, seed) })
	if err != nil {
		return err
	}
	i.keysAt = projection.Token{added.Stream: added.Sequence}
	return i.lookRealm(ctx)
}

// appointAdmin may be cut short between the appointment and the registration.
// Then the next start does both again, perhaps with another address.
func (i *identity) appointAdmin(ctx context.Context) error {
	was := i.realm.admin
	if was != "" {
		u, err := i.look(ctx, was)
		if err != nil {
			return err
		}
		if u.known() {
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
	id, err := i.idFor(ctx, c.Email)
	if err != nil {
		return err
	}
	_, err = i.decideRealm(ctx, "appoint "+string(id), func(r realm, _ decider.Meta) (events.Event, error) { return appoint(r, id, was) })
	if err == nil {
		err = i.lookRealm(ctx)
	}
	if err != nil || i.realm.admin != id {
		return err // another replica, told of another address, was faster
	}
	return i.registerAdmin(ctx, id, c)
}

func (i *identity) registerAdmin(ctx context.Context, id events.UserID, c command.RegisterUser) error {
	a, err := i.account(ctx, id, c)
	if err != nil {
		return err
	}
	receipt, err := i.users.Decide(ctx, wish("register "+string(id), string(id)),
		func(u user, m decider.Meta) (events.Event, error) { return enrolAdmin(u, a, m) },
		func(u user, _ events.Event) any { return u.passwordHash == a.passwordHash })
	if err != nil {
		return err
	}
	// Every replica has made a password; only the recorded one is worth telling.
	if recorded := receipt.Reply.(bool); recorded && i.AdminPassword == "" {
		i.Announce(a.email, c.Password)
	}
	return nil
}

func (i *identity) decideRealm(ctx context.Context, what string, decide decider.Decide[realm]) (decider.Receipt, error) {
	return i.realms.Decide(ctx, wish(what, events.RealmID), decide, nil)
}

func (i *identity) lookRealm(ctx context.Context) error {
	// It may be kept: evolving only ever adds to it.
	return i.realms.Peek(ctx, events.RealmID, func(r realm) { i.realm = r })
}

// command is one of the service's own, with an id that is the same at every start.
func wish(what, entity string) decider.Command {
	return decider.Command{EntityID: entity, Envelope: eventlog.Envelope{
		ID: eventlog.DeriveID("identity", what), Actor: eventlog.Actor{ID: "service:identity"},
	}}
}

func random() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}
