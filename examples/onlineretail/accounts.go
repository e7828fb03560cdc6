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

// staffEmail is the account that maintains products and stock.
const staffEmail = "staff@onlineretail.example"

func customerEmail(number string) string { return "c" + number + "@customers.example" }

// register opens an account, or logs in to an existing one.
func (t *importer) register(ctx context.Context, name, email string) (*client.Client, error) {
	password := t.passwordOf(email)
	s := t.shop.Session(client.WithPassword(email, password))
	var res client.Response
	_, err := s.Register(ctx, client.NewAccount{Name: name, Email: email, Password: password},
		client.Key("onlineretail/account/"+email), client.Into(&res))
	switch {
	case errors.Is(err, client.Conflict), errors.Is(err, client.Invalid):
		// The account exists with other data. If this program opened it, the password fits.
		_, err = s.LogIn(ctx, email, password)
	case err == nil && !res.Replayed():
		t.changed.Add(1)
	}
	return s, err
}

// passwordOf derives an account's password from the administrator's. So it is not
// well known, and a second run derives the same one.
func (t *importer) passwordOf(email string) string {
	mac := hmac.New(sha256.New, []byte(t.password))
	mac.Write([]byte("onlineretail " + email))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// prepareStaff opens the staff account, and grants it the role as administrator.
func (t *importer) prepareStaff(ctx context.Context) error {
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
	_, err = s.LogIn(ctx, staffEmail, t.passwordOf(staffEmail)) // new tokens hold the new role
	return err
}
