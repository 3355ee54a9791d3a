\set id random(1, 9000000000000000)
insert into bench values (:id, 'the same two commits');
delete from bench where id = :id;
