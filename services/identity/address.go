package identity

import (
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// address is the state of an email address, on which is decided who has it. Its id is a keyed
// hash of the address; see issuer.addressIDs.
//
// Earlier versions gave that id to the account itself. So an address and such an account are
// on the same subjects, each append to one is conditional on the other, and replicas of both
// versions cannot give an address to two accounts. The events of an account that is registered
// there are ignored here, but for those that tell that the address is taken or free.
type address struct {
	owner events.UserID // who has the address or is about to get it; "" is nobody
}

var addressType = decider.EntityType[address]{Subject: "events.user", Stream: "IDENTITY", Evolve: evolveAddress}

func evolveAddress(a address, event events.Event, _ time.Time) address {
	switch e := event.(type) {
	case events.UserRegistered:
		if e.EmailID == "" { // the account is the address's entity
			a.owner = e.UserID
		}
	case events.UserEmailClaimed:
		a.owner = e.UserID
	case events.UserEmailReleased:
		a = a.without(e.UserID)
	case events.UserErased:
		a = a.without(e.UserID)
	}
	return a
}

func (a address) without(owner events.UserID) address {
	if a.owner == owner {
		a.owner = ""
	}
	return a
}

// claim takes an address for a new account.
func claim(a address, _ command.RegisterUser, new account, m decider.Meta) (events.Event, error) {
	switch {
	case a.owner != "":
		return nil, addressTaken()
	case m.EntityID != string(new.addressID):
		return nil, wasReleased()
	}
	return events.UserEmailClaimed{
		EmailID: events.UserID(m.EntityID), UserID: new.id,
		Email: new.email, Name: new.name, PasswordHash: new.passwordHash, Roles: []string{events.Customer},
	}, nil
}

// claimAnother takes an address for an account that has another one. The address that the
// account has, in whichever spelling, needs nothing.
func claimAnother(a address, c command.ChangeEmail, by emailChange, m decider.Meta) (events.Event, error) {
	id := events.UserID(m.EntityID)
	switch {
	case !by.user.exists():
		return nil, noSuchUser(c.UserID)
	case a.owner == c.UserID && by.user.emailID == id:
		return nil, nil
	case a.owner == c.UserID:
		// It was claimed or given up a moment ago, and a reaction is about to complete that.
		return nil, errs.New(errs.Unavailable, "a change of this address is still in progress; try again")
	case a.owner != "":
		return nil, addressTaken()
	case id != by.addressID:
		return nil, wasReleased()
	}
	return events.UserEmailClaimed{EmailID: id, UserID: c.UserID, Email: c.Email}, nil
}

// registerAdmin creates the first administrator's account, once. Its entity is that of the
// address: replicas that start at once must agree on it, also with those of earlier versions.
func registerAdmin(a address, new account, m decider.Meta) (events.Event, error) {
	id := events.UserID(m.EntityID)
	switch a.owner {
	case "":
		return events.UserRegistered{
			UserID: id, Name: new.name, Email: new.email, PasswordHash: new.passwordHash,
			Roles: []string{events.Admin, events.Customer, events.Staff},
		}, nil
	case id:
		return nil, nil
	}
	return nil, addressTaken()
}

// wasReleased is the error when an address that earlier versions wrote differently was given up
// after the command's entity was chosen. Only the first of its ids is ever claimed anew: if the
// others were, too, two accounts could claim one address at once.
func wasReleased() error {
	return errs.New(errs.Unavailable, "this address was given up a moment ago; try again with the same id")
}

func addressTaken() error {
	return errs.New(errs.Conflict, "an account with this email address already exists")
}
