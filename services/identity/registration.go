package identity

import (
	"context"
	"strings"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// account is a registration with its password hashed. sent is built from the registration as
// it was sent: two registrations are compared by it, as in earlier versions, which recorded
// its hash. That tells nothing: without the issuer's secret the hash of the password has an
// unknown salt, and with it a guess must be right about name, address and password at once,
// at the cost of Argon2id.
type account struct {
	id                        events.UserID // new and random; a command that comes again finds the one that is recorded
	addressID                 events.UserID // the entity on which the address can be claimed
	name, email, passwordHash string
	sent                      string

	throttle *throttle
	attempt  attempt // trusted with every answer
	load     func(events.UserID) (user, error)
}

// Reply implements service.Replier. A registration is answered in its second step. But one that
// comes again and was recorded by an earlier version had one step only.
func (a account) Reply(_ address, event events.Event) any {
	a.throttle.succeeded(a.attempt)
	e, earlier := event.(events.UserRegistered)
	if !earlier {
		return nil
	}
	switch u, err := a.load(e.UserID); {
	case err != nil:
		return err
	case !u.exists():
		return errs.New(errs.NotFound, "this account was erased")
	}
	return query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles}
}

// Fingerprint implements service.Fingerprinter.
func (a account) Fingerprint() string { return a.sent }

// registerTarget returns the entity of the address that a registration is about.
func (i *identity) registerTarget(ctx context.Context, c command.RegisterUser) (string, error) {
	return i.addressTarget(ctx, c.Email)
}

// lookUpAccount hashes the password of a registration, also when the address is taken:
// whether the command came before shows only when its hash is compared with the recorded
// one.
func (i *identity) lookUpAccount(ctx context.Context, c command.RegisterUser, actor eventlog.Actor) (account, error) {
	leave, err := i.throttle.queue.enter(ctx, actor.ClientNetwork, untrusted)
	if err != nil {
		return account{}, err
	}
	defer leave()
	at, err := i.findPlace(ctx, c.Email)
	if err != nil {
		return account{}, err
	}
	a, err := i.hashAccount(ctx, at.id, c)
	a.throttle, a.attempt = i.throttle, i.attemptAt(c.Email, actor)
	a.load = func(id events.UserID) (user, error) { return i.loadUser(ctx, id) }
	return a, err
}

func (i *identity) hashAccount(ctx context.Context, address events.UserID, c command.RegisterUser) (account, error) {
	n, _ := c.Normal() // its error is returned when the command is decided
	hashes, err := i.passwords.hashes(ctx, currentCost, c.Password, i.issuer.salt(address))
	if err != nil {
		return account{}, err
	}
	return account{id: userID(random()), addressID: i.issuer.addressIDs(c.Email)[0], name: n.Name, email: n.Email, passwordHash: hashes[0],
		sent: strings.Join([]string{c.Name, strings.ToLower(strings.TrimSpace(c.Email)), hashes[len(hashes)-1]}, "\x00")}, nil
}
