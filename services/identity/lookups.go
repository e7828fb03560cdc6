package identity

import (
	"cmp"
	"context"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// place is what is known about an email address.
type place struct {
	id    events.UserID // its entity
	user  user          // who has it; one that does not exist when nobody does
	taken bool          // also when an account is about to get it or to release it
	gone  events.UserID // who had it and was erased, when it is not released yet
}

// findByEmail returns the place of an email address. An address that earlier versions wrote
// differently may have several; then it is the one that is taken, or else that of a new
// claim. It always loads everything that there may be, so its duration does not reveal what
// exists.
func (i *identity) findByEmail(ctx context.Context, email string) (found place, err error) {
	for n, id := range i.issuer.addressIDs(email) {
		at, err := i.loadPlace(ctx, id)
		if err != nil {
			return place{}, err
		}
		if n == 0 || at.taken && !found.taken {
			found = at
		}
	}
	return found, nil
}

func (i *identity) loadPlace(ctx context.Context, id events.UserID) (place, error) {
	var owner events.UserID
	if err := i.addresses.Peek(ctx, string(id), func(a address) { owner = a.owner }); err != nil {
		return place{}, err
	}
	u, err := i.loadUser(ctx, cmp.Or(owner, id))
	switch {
	case err != nil:
		return place{}, err
	case owner == "":
		return place{id: id}, nil
	case u.erased:
		return place{id: id, gone: owner}, nil
	case u.emailID != id:
		return place{id: id, taken: true}, nil
	}
	return place{id: id, user: u, taken: true}, nil
}

// findPlace is findByEmail for somebody who wants the address. It releases the address of an
// erased account, which the reaction may not have done yet, or could not: an account can be
// erased while it is getting an address.
func (i *identity) findPlace(ctx context.Context, email string) (place, error) {
	at, err := i.findByEmail(ctx, email)
	if err != nil || at.gone == "" {
		return at, err
	}
	_, err = i.addresses.Decide(ctx, ownCommand("release "+string(at.id)+" of "+string(at.gone), string(at.id)),
		func(a address, _ decider.Meta) (events.Event, error) { return a.release(at.id, at.gone) }, nil)
	return place{id: at.id}, err
}

// addressTarget returns the entity of an email address. It loads something only for the few
// addresses that earlier versions wrote differently.
func (i *identity) addressTarget(ctx context.Context, email string) (string, error) {
	if ids := i.issuer.addressIDs(email); len(ids) == 1 {
		return string(ids[0]), nil
	}
	at, err := i.findByEmail(ctx, email)
	return string(at.id), err
}

// loadActor returns the user who sends a message, as they are now; their token shows them as
// they were when it was signed. When the sender is not a user, it returns one that does not
// exist.
func (i *identity) loadActor(ctx context.Context, actor eventlog.Actor) (user, error) {
	if !events.IsToken(actor.ID) {
		return user{}, nil
	}
	return i.loadUser(ctx, events.UserID(actor.ID))
}

// loadUser returns a user as they are now. One that does not exist, or not any more, has no id
// and no hash.
func (i *identity) loadUser(ctx context.Context, id events.UserID) (found user, err error) {
	err = i.users.Peek(ctx, string(id), func(u user) {
		found = u
		found.UserView = u.view() // the state itself must not be kept
	})
	return found, err
}
