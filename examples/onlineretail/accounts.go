package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// user is an account as the shop shows it.
type user struct {
	ID    string   `json:"id"`
	Email string   `json:"email"`
	Roles []string `json:"roles"`
}

// page is one page of a list.
type page[T any] struct {
	Data []T `json:"data"`
	Meta struct {
		Total    int `json:"total"`
		LastPage int `json:"last_page"`
	} `json:"meta"`
}

// staffEmail is the account that keeps products and stock.
const staffEmail = "staff@onlineretail.example"

func customerEmail(number string) string { return "c" + number + "@customers.example" }

// register opens an account, or logs in to it when it is there already.
func (t *trade) register(ctx context.Context, name, email string) (*session, error) {
	s := &session{api: t.api, email: email, password: t.passwordOf(email)}
	got, err := s.authenticate(ctx, request{path: "/api/auth/register",
		key:  "onlineretail/account/" + email,
		body: map[string]string{"name": name, "email": email, "password": s.password}})
	switch {
	case refusedWith(err, http.StatusConflict, http.StatusUnprocessableEntity):
		// Somebody registered it otherwise. If it is ours, the password fits.
	case err != nil:
		return nil, err
	case !got.replayed:
		t.changed.Add(1)
		return s, nil
	}
	// The tokens of a replayed answer are as old as the first one.
	return s, s.logIn(ctx)
}

// passwordOf is an account's password: made from the administrator's, so that
// no well-known password guards an account and a second run knows it again.
func (t *trade) passwordOf(email string) string {
	mac := hmac.New(sha256.New, []byte(t.admin.password))
	mac.Write([]byte("onlineretail " + email))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// employ makes the staff's account, and has the administrator make it staff.
func (t *trade) employ(ctx context.Context) error {
	s, err := t.register(ctx, "Online Retail staff", staffEmail)
	if err != nil {
		return fmt.Errorf("the staff's account: %w", err)
	}
	t.admin.saw(s.consistency)
	var found page[user]
	if _, err := t.admin.send(ctx, request{method: http.MethodGet, path: "/api/users?email=" + url.QueryEscape(staffEmail)}, &found); err != nil {
		return fmt.Errorf("as administrator: %w", err)
	}
	if len(found.Data) != 1 {
		return fmt.Errorf("the shop has %d accounts of %s", len(found.Data), staffEmail)
	}
	if account := found.Data[0]; !slices.Contains(account.Roles, "staff") {
		roles := map[string][]string{"roles": append(account.Roles, "staff")}
		if _, err := t.admin.send(ctx, request{method: http.MethodPut, path: "/api/users/" + account.ID + "/roles", body: roles}, nil); err != nil {
			return fmt.Errorf("as administrator: %w", err)
		}
		t.changed.Add(1)
		s.saw(t.admin.consistency)
	}
	t.staff = s
	return s.logIn(ctx) // the new role stands in new tokens
}
