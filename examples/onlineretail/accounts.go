package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"lonja/client"
)

// staffEmail is the account that keeps products and stock.
const staffEmail = "staff@onlineretail.example"

func customerEmail(number string) string { return "c" + number + "@customers.example" }

// register opens an account, or logs in to it when it is there already.
func (t *trade) register(ctx context.Context, name, email string) (*client.Client, error) {
	password := t.passwordOf(email)
	s := t.shop.Session(client.WithPassword(email, password))
	var res client.Response
	_, err := s.Register(ctx, client.NewAccount{Name: name, Email: email, Password: password},
		client.Key("onlineretail/account/"+email), client.Into(&res))
	switch {
	case errors.Is(err, client.Conflict), errors.Is(err, client.Invalid):
		// Somebody registered it otherwise. If it is ours, the password fits.
		_, err = s.LogIn(ctx, email, password)
	case err == nil && !res.Replayed():
		t.changed.Add(1)
	}
	return s, err
}

// passwordOf is an account's password: made from the administrator's, so that
// no well-known password guards an account and a second run knows it again.
func (t *trade) passwordOf(email string) string {
	mac := hmac.New(sha256.New, []byte(t.password))
	mac.Write([]byte("onlineretail " + email))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// employ makes the staff's account, and has the administrator make it staff.
func (t *trade) employ(ctx context.Context) error {
	s, err := t.register(ctx, "Online Retail staff", staffEmail)
	if err != nil {
		return fmt.Errorf("the staff's account: %w", err)
	}
	t.admin.Observe(s.Consistency())
	found, err := t.admin.ListUsers(ctx, client.UserQuery{Email: staffEmail})
	if err != nil {
		return fmt.Errorf("as administrator: %w", err)
	}
	if len(found.Data) != 1 {
		return fmt.Errorf("the shop has %d accounts of %s", len(found.Data), staffEmail)
	}
	if account := found.Data[0]; !slices.Contains(account.Roles, client.Staff) {
		if _, err := t.admin.SetRoles(ctx, account.ID, append(account.Roles, client.Staff)); err != nil {
			return fmt.Errorf("as administrator: %w", err)
		}
		t.changed.Add(1)
		s.Observe(t.admin.Consistency())
	}
	t.staff = s
	_, err = s.LogIn(ctx, staffEmail, t.passwordOf(staffEmail)) // the new role stands in new tokens
	return err
}
