package identity

import (
	"context"
	"encoding/json"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// authorized is an account that the sender of a command may change.
type authorized struct {
	user user // does not exist when there is no such account
	self bool // the sender is the user
}

// authorize returns an account to the user, who gives the password, and to administrators. An
// account that does not exist, or not any more, is left to the decision.
func (i *identity) authorize(ctx context.Context, id events.UserID, password string, actor eventlog.Actor) (authorized, error) {
	if err := loggedIn(actor); err != nil {
		return authorized{}, err
	}
	if actor.ID != string(id) {
		if err := i.mustBeAdmin(ctx, actor, onlyAdmins()); err != nil {
			return authorized{}, err
		}
		u, err := i.loadUser(ctx, id)
		return authorized{user: u}, err
	}
	u, err := i.loadUser(ctx, id)
	switch {
	case err != nil:
		return authorized{}, err
	case password == "":
		return authorized{}, events.InvalidField("password", "must be your password")
	}
	err = i.checkPassword(ctx, i.attemptAt(u.Email, actor), password, func() (place, error) {
		return place{id: u.emailID, user: u}, nil
	}, errs.New(errs.Forbidden, "the password is wrong"))
	return authorized{u, true}, err
}

// profileChange is the user whose profile is changed.
type profileChange struct {
	user user
	sent string
}

// Fingerprint implements service.Fingerprinter.
func (p profileChange) Fingerprint() string { return p.user.fingerprint("profile", p.sent) }

// lookUpProfile loads the user, whose secret the fingerprint needs.
func (i *identity) lookUpProfile(ctx context.Context, c command.ChangeProfile, actor eventlog.Actor) (profileChange, error) {
	if err := loggedIn(actor); err != nil {
		return profileChange{}, err
	}
	if actor.ID != string(c.UserID) {
		return profileChange{}, errs.New(errs.Forbidden, "only the user may change their profile")
	}
	sent, err := json.Marshal(c)
	if err != nil {
		return profileChange{}, err
	}
	u, err := i.loadUser(ctx, c.UserID)
	if err == nil && !u.exists() {
		err = noSuchUser(c.UserID)
	}
	return profileChange{u, string(sent)}, err
}

// emailChange is a change of address that the sender may make.
type emailChange struct {
	authorized
	id        events.UserID
	addressID events.UserID // the entity on which the address can be claimed
}

// Fingerprint implements service.Fingerprinter. The new address is in it as its id.
func (e emailChange) Fingerprint() string { return string(e.id) + " " + string(e.addressID) }

// Reply implements service.Replier. It is the answer when the account has the address already.
func (e emailChange) Reply(address, events.Event) any { return e.user.view() }

// emailTarget returns the entity of the address that an account is to get.
func (i *identity) emailTarget(ctx context.Context, c command.ChangeEmail) (string, error) {
	return i.addressTarget(ctx, c.Email)
}

func (i *identity) lookUpEmailChange(ctx context.Context, c command.ChangeEmail, actor eventlog.Actor) (emailChange, error) {
	by, err := i.authorize(ctx, c.UserID, c.Password, actor)
	if err != nil {
		return emailChange{}, err
	}
	_, err = i.findPlace(ctx, c.Email)
	return emailChange{by, c.UserID, i.issuer.addressIDs(c.Email)[0]}, err
}

// erasure is an erasure that the sender may ask for.
type erasure struct {
	authorized
	id events.UserID
}

// Fingerprint implements service.Fingerprinter.
func (e erasure) Fingerprint() string { return string(e.id) }

func (i *identity) lookUpErasure(ctx context.Context, c command.EraseUser, actor eventlog.Actor) (erasure, error) {
	by, err := i.authorize(ctx, c.UserID, c.Password, actor)
	return erasure{by, c.UserID}, err
}

// lookUpActing returns the user who sends a command, as they are now.
func (i *identity) lookUpActing(ctx context.Context, _ command.SetRoles, actor eventlog.Actor) (user, error) {
	return i.loadActor(ctx, actor)
}

// newHash is the hash of a new password.
type newHash string

// Fingerprint implements service.Fingerprinter.
func (h newHash) Fingerprint() string { return string(h) }

// resetTarget returns the account that gets a new password: without an address, the first
// administrator's.
func (i *identity) resetTarget(ctx context.Context, c command.ResetPassword) (string, error) {
	if c.Email == "" {
		u, err := i.loadUser(ctx, i.issuer.admin)
		if err == nil && u.erased {
			err = errs.New(errs.NotFound, "the first administrator's account was erased; name another account by its address, with --email")
		}
		return string(i.issuer.admin), err
	}
	at, err := i.findByEmail(ctx, c.Email)
	if err == nil && !at.user.exists() {
		err = noSuchAccount()
	}
	return string(at.user.ID), err
}

// lookUpNewHash hashes the new password.
func (i *identity) lookUpNewHash(ctx context.Context, c command.ResetPassword) (newHash, error) {
	id, err := i.resetTarget(ctx, c)
	if err != nil {
		return "", err
	}
	hash, err := i.passwords.hash(ctx, currentCost, events.NormalText(c.Password), i.issuer.salt(events.UserID(id)))
	return newHash(hash), err
}
