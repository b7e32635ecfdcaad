import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { madeUpModule } from '../testing/made-up-module.ts';
import { parseElf } from './elf.ts';

test('a program tells its libraries and its loader', () => {
  const node = parseElf(readFileSync(process.execPath));
  assert.ok(node?.libraries.includes('libc.so.6'), String(node?.libraries));
  assert.match(node?.interpreter ?? '', /^\/lib.*\/ld-linux.*\.so\.\d$/);
});

test('a kernel module tells its aliases and what it needs', () => {
  const info = parseElf(madeUpModule(['alias=pci:v1=2', 'depends=a,b']))?.moduleInfo;
  assert.deepEqual(info, [
    ['alias', 'pci:v1=2'],
    ['depends', 'a,b'],
  ]);
});

test('what is no ELF file of 64 bits is nothing', () => {
  assert.equal(parseElf(Buffer.from('#!/bin/sh\n')), undefined);
  assert.equal(parseElf(Buffer.alloc(100)), undefined);
});
