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

// me is the id that stands in a path for that of the caller.
const me = "me"

// UserPath is the path parameter that names a user. It is exported for huma, which sets its field.
type UserPath struct {
	ID events.UserID `path:"id" doc:"A user's id; me is the caller's own" example:"me"`
}

// user returns the id that a path means. It is NotFound if no user can have it.
func (in UserPath) user(c *httpapi.Call) (events.UserID, error) {
	if in.ID == me {
		return events.UserID(c.Actor.ID), nil
	}
	return in.ID, checkID(in.ID)
}

// userAndBody returns the user that a path means, and the request's body.
func userAndBody[B any](c *httpapi.Call, in UserPath, read func(*httpapi.Call) (B, error)) (id events.UserID, body B, err error) {
	if id, err = in.user(c); err == nil {
		body, err = read(c)
	}
	return id, body, err
}

func readUser(c *httpapi.Call, in *UserPath) (*httpapi.Response, error) {
	id, err := in.user(c)
	if err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.User{UserID: id})
}

// profileChange has the fields to change; nil leaves a field as it is.
type profileChange struct {
	Name   *string `json:"name,omitempty" doc:"1 to 200 characters" example:"Ana"`
	Locale *string `json:"locale,omitempty" doc:"The language to address the user in, as a BCP 47 tag; empty for the shop's own" example:"es-MX"`
}

func changeProfile(c *httpapi.Call, in *struct {
	UserPath
	httpapi.Payload[profileChange]
}) (*httpapi.Response, error) {
	id, change, err := userAndBody(c, in.UserPath, in.Body)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.ChangeProfile{UserID: id, Name: change.Name, Locale: change.Locale})
}

type emailChange struct {
	Email    string `json:"email" doc:"254 characters at most" example:"ana@example.org"`
	Password string `json:"password,omitempty" doc:"The user's own. Administrators leave it out when they change somebody else's address"`
}

func changeEmail(c *httpapi.Call, in *struct {
	UserPath
	httpapi.Payload[emailChange]
}) (*httpapi.Response, error) {
	id, change, err := userAndBody(c, in.UserPath, in.Body)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.ChangeEmail{UserID: id, Email: change.Email, Password: change.Password})
}

type erasure struct {
	Password string `json:"password,omitempty" doc:"The user's own. Administrators leave it out when they erase somebody else"`
}

// eraseUser erases an account. Users who repeat the request get 401, since their access token
// is revoked with the account. An administrator who repeats it with the same key gets 204
// again, because the event names the command.
func eraseUser(c *httpapi.Call, in *struct {
	UserPath
	httpapi.OptionalPayload[erasure]
}) (*httpapi.Response, error) {
	id, given, err := userAndBody(c, in.UserPath, in.Body)
	if err != nil {
		return nil, err
	}
	resp, err := c.SendAndRespond(command.EraseUser{UserID: id, Password: given.Password})
	if err != nil {
		return nil, err
	}
	return resp.NoContent(), nil
}

type rolesChange struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"3" enum:"customer,staff,admin"`
}

func setRoles(c *httpapi.Call, in *struct {
	UserPath
	httpapi.Payload[rolesChange]
}) (*httpapi.Response, error) {
	id, change, err := userAndBody(c, in.UserPath, in.Body)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.SetRoles{UserID: id, Roles: change.Roles})
}
