package identity

import (
	"lonja/events"
	"lonja/kit/decider"
)

// A change that concerns an account and its address takes several events on different
// entities, in an order in which a crash between any two harms nothing: the address is
// claimed, then the account gets it, then the address before is released. Each reaction
// completes what follows from one event. The first is also what commands go on with at once.

// getAddress gives a claimed address to the account that it was claimed for. A new account
// begins to exist with it.
func getAddress(u user, claimed events.UserEmailClaimed, _ decider.Meta) (events.Event, error) {
	isNew := len(claimed.Roles) > 0
	switch {
	case u.erased, claimed.Withheld, isNew == u.exists(), u.emailID == claimed.EmailID:
		return nil, nil
	case isNew:
		return events.UserRegistered{
			UserID: claimed.UserID, Name: claimed.Name, Email: claimed.Email, PasswordHash: claimed.PasswordHash,
			Roles: claimed.Roles, EmailID: claimed.EmailID,
		}, nil
	}
	return events.UserEmailChanged{UserID: claimed.UserID, Email: claimed.Email, EmailID: claimed.EmailID, Previous: u.emailID}, nil
}

// releasePrevious frees the address that an account had before.
func releasePrevious(a address, changed events.UserEmailChanged, _ decider.Meta) (events.Event, error) {
	return a.release(changed.Previous, changed.UserID)
}

// releaseErased frees the address of an account that was erased.
func releaseErased(a address, erased events.UserErased, _ decider.Meta) (events.Event, error) {
	return a.release(erased.EmailID, erased.UserID)
}

func (a address) release(id, owner events.UserID) (events.Event, error) {
	if a.owner != owner {
		return nil, nil
	}
	return events.UserEmailReleased{EmailID: id, UserID: owner}, nil
}
