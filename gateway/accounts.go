package gateway

import (
	"bytes"
	"net/http"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// register opens an account and logs it in: two commands, the second's id
// derived from the first's, so that the same request gives the same session.
//
// Strangers who send the same key are told apart by the address that they
// register. (Not by the whole body: an id stands in the log, and a password must
// not be guessed by it.) Registrations that were made before that was so have the
// key's own id. They are found by the conflict that they are in; a registration
// that is in one records nothing, so the second try cannot either.
func register(c *call, in *struct {
	payload[command.RegisterUser]
}) (*answer, error) {
	who, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	id := eventlog.DeriveID(c.id, command.NormalEmail(who.Email))
	registered, err := c.send(who, id)
	if len(c.r.Header[keyHeader]) > 0 && errs.Is(err, errs.Conflict) {
		switch former, formerErr := c.send(who, c.id); {
		case formerErr == nil:
			id, registered, err = c.id, former, nil
		case errs.Is(formerErr, errs.Unavailable), errs.Is(formerErr, errs.RateLimited): // nobody knows
			err = formerErr
		}
	}
	if err != nil {
		return nil, err
	}
	session, err := c.send(command.LogIn{Email: who.Email, Password: who.Password}, eventlog.DeriveID(id, "session"))
	if err != nil {
		return nil, err
	}
	session.Replayed = registered.Replayed
	a := c.did(session)
	a.Status = http.StatusCreated
	return a, nil
}

func logIn(c *call, in *struct{ payload[command.LogIn] }) (*answer, error) {
	who, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	return c.do(who)
}

func refresh(c *call, in *struct {
	payload[command.RefreshSession]
}) (*answer, error) {
	token, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	return c.do(token)
}

func logOut(c *call, in *struct{ payload[command.LogOut] }) (*answer, error) {
	token, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	a, err := c.do(token)
	if err != nil {
		return nil, err
	}
	return a.noContent(), nil
}

// verified is whose access token it is.
type verified struct {
	User query.UserView `json:"user"`
}

func verify(c *call, _ *struct{}) (*answer, error) {
	a, err := c.ask(query.User{UserID: events.UserID(c.actor.ID)})
	if errs.Is(err, errs.NotFound) {
		return nil, errs.New(errs.Unauthenticated, "the access token's account does not exist")
	}
	if err != nil {
		return nil, err
	}
	a.Body = bytes.Join([][]byte{[]byte(`{"user":`), a.Body, []byte(`}`)}, nil)
	return a, nil
}

// keys are identity's, or, while it is away, those that we know.
func keys(c *call, _ *struct{}) (*answer, error) {
	a, err := c.ask(query.Keys{})
	if held := c.tokens.keys.held.Load(); err != nil && held != nil {
		a, err = answering(held.raw), nil
	}
	if err != nil {
		return nil, err
	}
	a.Caching = "public, max-age=300"
	return a, nil
}

func listUsers(c *call, in *struct {
	Email string `query:"email" doc:"254 characters at most"`
	Paging
}) (*answer, error) {
	if err := events.Text("email", in.Email, 0, 254); err != nil {
		return nil, err
	}
	return c.ask(query.Users{Email: in.Email, Page: in.page()})
}

type rolesChange struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"3" enum:"customer,staff,admin"`
}

func setRoles(c *call, in *struct {
	ID events.UserID `path:"id"`
	payload[rolesChange]
}) (*answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	to, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	return c.do(command.SetRoles{UserID: in.ID, Roles: to.Roles})
}
