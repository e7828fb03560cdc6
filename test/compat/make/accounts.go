package main

import (
	"context"
	"errors"
)

func (t *tale) openAccounts(ctx context.Context) error {
	if err := t.boss.logIn(ctx); err != nil {
		return err
	}
	for _, p := range t.everybody()[1:] {
		if err := p.register(ctx); err != nil {
			return err
		}
	}
	return t.setRoles(ctx, t.sam, "staff", "customer")
}

// changeAccounts makes every other event of accounts and sessions.
func (t *tale) changeAccounts(ctx context.Context) error {
	ana, ben, cleo, dan, eve := t.customers[0], t.customers[1], t.customers[2], t.customers[3], t.customers[4]
	ben.Password = "the second password of ben"
	t.boss.Password = adminPassword
	return errors.Join(
		t.setRoles(ctx, dan, "admin", "customer"),
		t.setRoles(ctx, dan, "customer"),
		ana.refreshes(ctx),
		cleo.logsOut(ctx),
		eve.reuses(ctx),
		t.setPassword(ctx, ben.Email, ben.Password),
		t.setPassword(ctx, t.boss.Email, t.boss.Password),
		t.customers[5].movesAway(ctx),
		t.erasesOne(ctx),
	)
}

// movesAway changes a person's profile and address.
func (p *person) movesAway(ctx context.Context) error {
	if err := p.keyed(ctx, "PATCH", "/api/users/"+p.ID, map[string]string{"name": p.Name + " Søgård", "locale": "da-DK"}, nil, 200); err != nil {
		return err
	}
	to := "new." + p.Email
	if err := p.do(ctx, "PUT", "/api/users/"+p.ID+"/email", map[string]string{"email": to, "password": p.Password}, nil, 200); err != nil {
		return err
	}
	p.Email = to
	return p.logIn(ctx)
}

// erasesOne lets somebody register and leave for good.
func (t *tale) erasesOne(ctx context.Context) error {
	var got tokens
	gone := t.person("gone", "gone@example.com", "password of gone")
	account := map[string]string{"name": gone.Name, "email": gone.Email, "password": gone.Password}
	if err := gone.do(ctx, "POST", "/api/auth/register", account, &got, 201); err != nil {
		return err
	}
	gone.took(got)
	return gone.do(ctx, "DELETE", "/api/users/"+gone.ID, map[string]string{"password": gone.Password}, nil, 204)
}

// setRoles sets the roles of an account, whose owner logs in anew: the access tokens from
// before are revoked.
func (t *tale) setRoles(ctx context.Context, p *person, roles ...string) error {
	if err := t.boss.do(ctx, "PUT", "/api/users/"+p.ID+"/roles", map[string]any{"roles": roles}, nil, 200); err != nil {
		return err
	}
	return p.logIn(ctx)
}

// openSessions logs everybody in for a hundred years. Every second session is refreshed
// once.
func (t *tale) openSessions(ctx context.Context) error {
	if err := t.serveWith(t.patient, "identity"); err != nil {
		return err
	}
	if err := t.ready(ctx); err != nil {
		return err
	}
	for i, p := range t.everybody() {
		if err := p.logIn(ctx); err != nil {
			return err
		}
		if i%2 == 0 {
			if err := p.refreshes(ctx); err != nil {
				return err
			}
		}
		p.Refresh = p.refresh
	}
	return nil
}
