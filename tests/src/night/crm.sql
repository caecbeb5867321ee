-- A shop's CRM with two legal entities, empty; catalogue.rs and fill.rs write the rows, tables.sql adds the keys.

CREATE SCHEMA crm;
CREATE TABLE crm.category (id integer PRIMARY KEY, parent integer, name text NOT NULL UNIQUE, sensitive boolean NOT NULL);
CREATE TABLE crm.customer (id bigint NOT NULL, country text NOT NULL, subscriber text NOT NULL, address_kind text, email text NOT NULL);
CREATE UNLOGGED TABLE crm.sale_unsorted (customer bigint NOT NULL, category integer NOT NULL, company smallint NOT NULL,
    opt_out_offered boolean NOT NULL, at timestamptz NOT NULL);
CREATE UNLOGGED TABLE crm.engagement_unsorted (customer bigint NOT NULL, kind text NOT NULL, machine boolean NOT NULL, at timestamptz NOT NULL);
CREATE UNLOGGED TABLE crm.answer_unsorted (customer bigint NOT NULL, kind text NOT NULL, method text, category integer, at timestamptz NOT NULL);
