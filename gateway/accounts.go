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

// register opens an account and logs it in. These are two commands; the second's ID is
// derived from the first's, so that a repeated request returns the same session.
//
// Anonymous callers that send the same key are distinguished by the email address. (Not by
// the whole body: the ID is in the log, and must not help to guess a password.) Earlier
// versions used the key's ID alone. A registration of theirs shows as a conflict, so the
// command is sent again with that ID. That is safe: a registration in conflict records
// nothing, whichever ID it has.
func register(c *httpapi.Call, in *struct {
	httpapi.Payload[command.RegisterUser]
}) (*httpapi.Response, error) {
	account, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	id := eventlog.DeriveID(c.CommandID, command.NormalEmail(account.Email))
	registered, err := c.Send(account, id)
	if len(c.Request.Header["Idempotency-Key"]) > 0 && errs.Is(err, errs.Conflict) {
		switch earlier, earlierErr := c.Send(account, c.CommandID); {
		case earlierErr == nil:
			id, registered, err = c.CommandID, earlier, nil
		case errs.Is(earlierErr, errs.Unavailable), errs.Is(earlierErr, errs.RateLimited): // unknown
			err = earlierErr
		}
	}
	if err != nil {
		return nil, err
	}
	session, err := c.Send(command.LogIn{Email: account.Email, Password: account.Password}, eventlog.DeriveID(id, "session"))
	if err != nil {
		return nil, err
	}
	session.Replayed = registered.Replayed
	return c.ResponseTo(session).Created(""), nil
}

func logIn(c *httpapi.Call, in *struct{ httpapi.Payload[command.LogIn] }) (*httpapi.Response, error) {
	account, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(account)
}

func refresh(c *httpapi.Call, in *struct {
	httpapi.Payload[command.RefreshSession]
}) (*httpapi.Response, error) {
	token, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(token)
}

func logOut(c *httpapi.Call, in *struct {
	httpapi.Payload[command.LogOut]
}) (*httpapi.Response, error) {
	token, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	resp, err := c.SendAndRespond(token)
	if err != nil {
		return nil, err
	}
	return resp.NoContent(), nil
}

// verified is the user of an access token.
type verified struct {
	User query.UserView `json:"user"`
}

func verify(c *httpapi.Call, _ *struct{}) (*httpapi.Response, error) {
	resp, err := c.QueryAndRespond(query.User{UserID: events.UserID(c.Actor.ID)})
	if errs.Is(err, errs.NotFound) {
		return nil, errs.New(errs.Unauthenticated, "the access token's account does not exist")
	}
	if err != nil {
		return nil, err
	}
	resp.Body = bytes.Join([][]byte{[]byte(`{"user":`), resp.Body, []byte(`}`)}, nil)
	return resp, nil
}

// keys returns identity's keys or, while identity is unavailable, those last fetched.
func (g *gateway) keys(c *httpapi.Call, _ *struct{}) (*httpapi.Response, error) {
	resp, err := c.QueryAndRespond(query.Keys{})
	if cached := g.tokens.Keys(); err != nil && cached != nil {
		resp, err = httpapi.NewResponse(cached), nil
	}
	if err != nil {
		return nil, err
	}
	resp.CacheControl = "public, max-age=300"
	return resp, nil
}

func listUsers(c *httpapi.Call, in *struct {
	Email string `query:"email" doc:"254 characters at most"`
	Paging
}) (*httpapi.Response, error) {
	if err := events.Text("email", in.Email, 0, 254); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.Users{Email: in.Email, Page: in.page()})
}

type rolesChange struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"3" enum:"customer,staff,admin"`
}

func setRoles(c *httpapi.Call, in *struct {
	ID events.UserID `path:"id"`
	httpapi.Payload[rolesChange]
}) (*httpapi.Response, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	change, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.SetRoles{UserID: in.ID, Roles: change.Roles})
}
