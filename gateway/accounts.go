package gateway

import (
	"bytes"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
)

// register opens an account and logs it in: two commands, the second's id
// derived from the first's, so that the same request gives the same session.
//
// Strangers who send the same key are told apart by the address that they
// register. (Not by the whole body: an id stands in the log, and a password must
// not be guessed by it.) Registrations that were made before that was so have the
// key's own id. They are found by the conflict that they are in; a registration
// that is in one records nothing, so the second try cannot either.
func register(c *httpapi.Call, in *struct {
	httpapi.Payload[command.RegisterUser]
}) (*httpapi.Answer, error) {
	who, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	id := eventlog.DeriveID(c.ID, command.NormalEmail(who.Email))
	registered, err := c.Send(who, id)
	if len(c.Request.Header["Idempotency-Key"]) > 0 && errs.Is(err, errs.Conflict) {
		switch former, formerErr := c.Send(who, c.ID); {
		case formerErr == nil:
			id, registered, err = c.ID, former, nil
		case errs.Is(formerErr, errs.Unavailable), errs.Is(formerErr, errs.RateLimited): // nobody knows
			err = formerErr
		}
	}
	if err != nil {
		return nil, err
	}
	session, err := c.Send(command.LogIn{Email: who.Email, Password: who.Password}, eventlog.DeriveID(id, "session"))
	if err != nil {
		return nil, err
	}
	session.Replayed = registered.Replayed
	return c.Did(session).Created(""), nil
}

func logIn(c *httpapi.Call, in *struct{ httpapi.Payload[command.LogIn] }) (*httpapi.Answer, error) {
	who, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.Do(who)
}

func refresh(c *httpapi.Call, in *struct {
	httpapi.Payload[command.RefreshSession]
}) (*httpapi.Answer, error) {
	token, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.Do(token)
}

func logOut(c *httpapi.Call, in *struct {
	httpapi.Payload[command.LogOut]
}) (*httpapi.Answer, error) {
	token, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	a, err := c.Do(token)
	if err != nil {
		return nil, err
	}
	return a.NoContent(), nil
}

// verified is whose access token it is.
type verified struct {
	User query.UserView `json:"user"`
}

func verify(c *httpapi.Call, _ *struct{}) (*httpapi.Answer, error) {
	a, err := c.Ask(query.User{UserID: events.UserID(c.Actor.ID)})
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
func (g *gateway) keys(c *httpapi.Call, _ *struct{}) (*httpapi.Answer, error) {
	a, err := c.Ask(query.Keys{})
	if held := g.tokens.Keys(); err != nil && held != nil {
		a, err = httpapi.Answering(held), nil
	}
	if err != nil {
		return nil, err
	}
	a.Caching = "public, max-age=300"
	return a, nil
}

func listUsers(c *httpapi.Call, in *struct {
	Email string `query:"email" doc:"254 characters at most"`
	Paging
}) (*httpapi.Answer, error) {
	if err := events.Text("email", in.Email, 0, 254); err != nil {
		return nil, err
	}
	return c.Ask(query.Users{Email: in.Email, Page: in.page()})
}

type rolesChange struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"3" enum:"customer,staff,admin"`
}

func setRoles(c *httpapi.Call, in *struct {
	ID events.UserID `path:"id"`
	httpapi.Payload[rolesChange]
}) (*httpapi.Answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	to, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.Do(command.SetRoles{UserID: in.ID, Roles: to.Roles})
}
