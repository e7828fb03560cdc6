package client_test

import (
	"bytes"
	"errors"
	"testing"

	"lonja/client"
)

func TestAccount_ChangedExportedAndErased(t *testing.T) {
	ctx, name := t.Context(), unique("leaver")
	ana, next := theShop.registers(t, name), name+"@example.org"
	me, err := ana.ChangeProfile(ctx, client.Self, client.ProfileChange{Name: new("Ana"), Locale: new("es-MX")})
	if err != nil || me.Name != "Ana" || me.Locale != "es-MX" {
		t.Fatalf("%+v, %v", me, err)
	}
	if me, err = ana.ChangeProfile(ctx, me.ID, client.ProfileChange{Locale: new("")}); err != nil || me.Name != "Ana" || me.Locale != "" {
		t.Errorf("%+v, %v", me, err)
	}
	if _, err := ana.ChangeEmail(ctx, client.Self, client.EmailChange{Email: next, Password: "wrong horse"}); !errors.Is(err, client.Forbidden) {
		t.Errorf("a wrong password: %v", err)
	}
	if me, err = ana.ChangeEmail(ctx, client.Self, client.EmailChange{Email: next, Password: "correct horse"}); err != nil || me.Email != next {
		t.Fatalf("%+v, %v", me, err)
	}
	if seen, err := ana.GetUser(ctx, client.Self); err != nil || seen.Email != next {
		t.Errorf("%+v, %v", seen, err)
	}
	var file client.Response
	kept, err := ana.Export(ctx, me.ID, client.Into(&file))
	if err != nil || kept.Account.User.ID != me.ID || len(kept.Account.Sessions) != 1 || !bytes.Contains(file.Body, []byte(next)) {
		t.Errorf("%+v, %v", kept, err)
	}
	ben := theShop.registers(t, unique("ben"))
	for _, err := range []error{
		func() error { _, err := ben.GetUser(ctx, me.ID); return err }(),
		func() error { _, err := ben.Export(ctx, me.ID); return err }(),
	} {
		if !errors.Is(err, client.NotFound) {
			t.Errorf("another's account: %v", err)
		}
	}

	if err := ana.Erase(ctx, client.Self, "wrong horse"); !errors.Is(err, client.Forbidden) || ana.Tokens().AccessToken == "" {
		t.Errorf("a wrong password: %v", err)
	}
	token := ana.Tokens().AccessToken
	if err := ana.Erase(ctx, client.Self, "correct horse"); err != nil || ana.Tokens().AccessToken != "" {
		t.Fatal(err)
	}
	turnedDown(t, token)
	if _, err := ana.LogIn(ctx, next, "correct horse"); !errors.Is(err, client.Unauthenticated) {
		t.Errorf("after the erasure: %v", err)
	}
}

// An administrator who hears no answer may ask again, with the same key.
func TestErase_ByAdministratorsIsRepeatable(t *testing.T) {
	ctx, boss := t.Context(), theShop.boss(t)
	ana := theShop.registers(t, unique("erased"))
	id := ana.Tokens().User.ID
	me, err := boss.GetUser(ctx, client.Self)
	if err != nil {
		t.Fatal(err)
	}
	if err := ana.Erase(ctx, me.ID, ""); !errors.Is(err, client.Forbidden) {
		t.Errorf("a customer erases: %v", err)
	}
	var first, again client.Response
	if err := boss.Erase(ctx, id, "", client.Key("erase"), client.Into(&first)); err != nil || first.Replayed() {
		t.Fatal(err)
	}
	if err := boss.Erase(ctx, id, "", client.Key("erase"), client.Into(&again)); err != nil || !again.Replayed() {
		t.Errorf("with the same key: %v", err)
	}
	if err := boss.Erase(ctx, id, "", client.Key("another")); !errors.Is(err, client.NotFound) {
		t.Errorf("with another key: %v", err)
	}
	var p *client.Problem
	if err := boss.Erase(ctx, client.Self, adminPassword); !errors.As(err, &p) || p.Code != client.Conflict {
		t.Errorf("an administrator erases themselves: %v", err)
	}
}
